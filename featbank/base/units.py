"""Deduplication of units and its inverse: pure functions over integer arrays or tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.base.tensors import takes_tensors
from featbank.errors import FeatbankError

Units = npt.NDArray[Any]

UNITS, DURATIONS = "units", "durations"
"""Names of the stores that tokenization writes."""


@takes_tensors
def deduplicate(units: Units) -> tuple[Units, Units]:
    """Merge runs of equal units, as GSLM's speech-to-unit step does (Lakhotia et al., 2021).

    Args:
        units: (T,) integers.

    Returns:
        The units without repeats, (N,), and their durations in frames, (N,) uint32, which sum to
        T; of a tensor they are int64, for torch computes little with uint32.

    Raises:
        FeatbankError: the units have another shape, or are no integers.

    >>> deduplicate(np.array([7, 7, 3, 3, 3, 7]))
    (array([7, 3, 7]), array([2, 3, 1], dtype=uint32))
    """
    check_integers("units", units, ndim=1)
    starts = np.flatnonzero(np.append(len(units) > 0, units[1:] != units[:-1])[: len(units)])
    durations = np.diff(starts, append=len(units)).astype(np.uint32)
    return units[starts], durations


@takes_tensors
def expand(units: Units, durations: Units) -> Units:
    """Repeat each unit for its duration: the inverse of `deduplicate`.

    Args:
        units: (N,).
        durations: (N,) integers, in frames.

    Returns:
        (T,), of the dtype of `units`; T is the sum of the durations.

    Raises:
        FeatbankError: the durations are not one a unit, or not integers of 0 or more.

    >>> expand(np.array([7, 3, 7]), np.array([2, 3, 1]))
    array([7, 7, 3, 3, 3, 7])
    """
    check_integers("durations", durations, ndim=1)
    if units.shape != durations.shape:
        raise FeatbankError("durations", expected=f"{units.shape}, one a unit", got=durations.shape)
    repeats = durations.astype(np.int64)  # np.repeat takes no uint64
    if (repeats < 0).any():
        raise FeatbankError("durations", expected="0 or more", got=durations.min())
    return np.repeat(units, repeats)


_SHAPES = {None: "", 1: "(T,) ", 2: "(Q, T) "}


def check_integers(what: str, values: Units, ndim: int | None = None) -> None:
    """Refuse an array of anything but integers, or of another number of dimensions.

    Args:
        what: names the array in the sentence.
        values: the array; bool is no integer.
        ndim: 1 for units (T,), 2 for codes (Q, T), None for any.

    Raises:
        FeatbankError: it is so.
    """
    if not hasattr(values, "dtype"):
        raise FeatbankError(what, expected="an array or a tensor", got=type(values).__name__)
    if values.dtype.kind not in "iu" or ndim not in (None, values.ndim):
        raise FeatbankError(
            what,
            expected=f"{_SHAPES[ndim]}integers",
            got=f"{values.shape} of {values.dtype}",
        )
