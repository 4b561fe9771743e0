"""What a narrower dtype cannot hold is refused, with the value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from featbank.errors import StoreError


def other_kind(array: NDArray[Any], name: str, where: str) -> StoreError:
    """Return the error that says that a dtype holds no values of this kind."""
    return StoreError(where, expected=f"values that {name} can hold", got=array.dtype.name)


def narrow_integers(array: NDArray[Any], dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    """Return integers in another dtype, which must hold each of them.

    Raises:
        StoreError: it does not.
    """
    limits = np.iinfo(dtype)
    for extreme in (int(array.min()), int(array.max())) if array.size else ():
        if not limits.min <= extreme <= limits.max:
            raise StoreError(
                where,
                expected=f"values of {dtype.name}, {limits.min} to {limits.max}",
                got=extreme,
                hint="choose a wider dtype",
            )
    return np.ascontiguousarray(array, dtype=dtype)


def refuse_overflow(array: NDArray[Any], narrow: NDArray[Any], name: str, where: str) -> None:
    """Refuse values that were finite and are no longer.

    Raises:
        StoreError: one is so.
    """
    overflowed = np.isfinite(array) & ~np.isfinite(narrow)
    if overflowed.any():
        raise StoreError(
            where,
            expected=f"values within the range of {name}",
            got=f"{array[overflowed].flat[0]:g}",
            hint="choose a wider dtype",
        )
