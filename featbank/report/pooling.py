"""Averages of neighbours: more rows than a picture shows become as many as it does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def pooled(table: Floats, most: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Average neighbouring rows so that `most` of them are left at most.

    Args:
        table: (N, ...) rows.
        most: rows that are left at most, 1 or more.

    Returns:
        (M, ...) the means, and (M + 1,) the first row of each and N.
    """
    edges = np.linspace(0, len(table), min(len(table), most) + 1).astype(np.int64)
    if len(table) <= most:
        return table, edges
    sums: Floats = np.add.reduceat(table, edges[:-1], axis=0)
    return sums / np.diff(edges).reshape(-1, *[1] * (table.ndim - 1)), edges
