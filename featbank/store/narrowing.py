"""What a store should not hold is refused: NaN, infinity, and what a narrower dtype cannot hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from featbank.errors import StoreError

_EXPONENT = np.uint16(0x7C00)
_BLOCK_VALUES = 1 << 16


def other_kind(array: NDArray[Any], name: str, where: str) -> StoreError:
    """Return the error that says that a dtype holds no values of this kind."""
    return StoreError(where, expected=f"values that {name} can hold", got=array.dtype.name)


def refuse_nonfinite(array: NDArray[Any], name: str, where: str) -> None:
    """Refuse NaN and infinity: an encoder that overflowed, which training would meet much later.

    Args:
        array: as it was given, of any dtype.
        name: of the dtype that it will be stored as.
        where: what it belongs to, for errors.

    Raises:
        StoreError: a value is not finite.
    """
    if array.dtype.kind != "f" or _all_finite(array):
        return
    num_wrong = int(array.size - np.isfinite(array).sum())
    raise StoreError(
        where,
        expected=f"finite values for {name}",
        got=f"NaN or infinity in {num_wrong} of {array.size}",
        hint="look at what computes them; allow_nonfinite=True stores NaN and infinity as floats",
    )


def _all_finite(array: NDArray[Any]) -> bool:
    if array.dtype != np.float16 or not array.flags.c_contiguous:
        return bool(np.isfinite(array).all())
    # five times faster than `isfinite`, which converts each: the exponent of NaN and infinity is
    # all ones; block by block, for the cache
    bits = array.reshape(-1).view(np.uint16)
    return all(
        int((bits[start : start + _BLOCK_VALUES] & _EXPONENT).max()) < _EXPONENT
        for start in range(0, len(bits), _BLOCK_VALUES)
    )


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
