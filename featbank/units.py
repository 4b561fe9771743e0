"""Sequence forms of units: pure functions over integer arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Units = npt.NDArray[Any]

UNITS, DURATIONS = "units", "durations"
"""Names of the stores that tokenization writes."""


def deduplicate(units: Units) -> tuple[Units, Units]:
    """Merge runs of equal units, as GSLM's speech-to-unit step does (Lakhotia et al., 2021).

    Args:
        units: (T,) integers.

    Returns:
        The units without repeats, (N,), and their durations in frames, (N,) uint32, which sum to T.

    >>> deduplicate(np.array([7, 7, 3, 3, 3, 7]))
    (array([7, 3, 7]), array([2, 3, 1], dtype=uint32))
    """
    if units.ndim != 1:
        raise ValueError(f"expected units of shape (T,), got {units.shape}")
    starts = np.flatnonzero(np.append(len(units) > 0, units[1:] != units[:-1])[: len(units)])
    durations = np.diff(starts, append=len(units)).astype(np.uint32)
    return units[starts], durations


def expand(units: Units, durations: Units) -> Units:
    """Repeat each unit for its duration: the inverse of `deduplicate`.

    >>> expand(np.array([7, 3, 7]), np.array([2, 3, 1]))
    array([7, 7, 3, 3, 3, 7])
    """
    if units.shape != durations.shape:
        raise ValueError(f"expected a duration a unit, got {units.shape} and {durations.shape}")
    return np.repeat(units, durations)
