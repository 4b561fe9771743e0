"""Narrow values to the dtype of a store: measure what that changes, refuse what it cannot hold."""

from __future__ import annotations

from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featbank.errors import StoreError

_EXPONENT = np.uint16(0x7C00)
_BLOCK_VALUES = 1 << 16
_MEASURED_VALUES = 1 << 20  # at a time


class RoundingErrors:
    """What storing a row changes in its values, the same number in whatever pieces the row comes.

    Attributes:
        greatest: absolute difference of a value.
    """

    def __init__(self) -> None:
        self.greatest = 0.0
        self._parts: list[float] = []  # add up to the sum exactly

    @property
    def total(self) -> float:
        """The absolute differences of all values: the exactly rounded sum of the frames' sums."""
        return fsum(self._parts)

    def add(self, array: NDArray[Any], back: NDArray[Any]) -> None:
        """Compare frames (T, ...) with what comes back; NaN and infinity differ by none."""
        if not array.size:
            return
        step = max(1, _MEASURED_VALUES * len(array) // array.size)
        for start in range(0, len(array), step):
            frames = slice(start, start + step)
            with np.errstate(invalid="ignore"):
                difference = np.abs(array[frames] - back[frames])
            greatest = float(difference.max())
            if greatest != greatest:  # NaN, or an infinity less itself
                difference = np.nan_to_num(difference, nan=0.0, posinf=0.0)
                greatest = float(difference.max())
            self.greatest = max(self.greatest, greatest)
            # cast first: a sum that casts as it goes on would depend on where a frame stands
            by_frame = difference.reshape(len(difference), -1).astype(np.float64, order="C")
            self._add_exactly(by_frame.sum(axis=1).tolist())

    def _add_exactly(self, numbers: list[float]) -> None:
        numbers += self._parts
        self._parts = []
        while rest := fsum([*numbers, *(-part for part in self._parts)]):
            self._parts.append(rest)


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
