"""What storing changes in values: the same two numbers, whatever pieces they come in."""

from __future__ import annotations

from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK_VALUES = 1 << 20


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
        step = max(1, _BLOCK_VALUES * len(array) // array.size)
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
