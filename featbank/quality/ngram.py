"""An n-gram of units: what a small language model still finds new in held-out units.

The unigram's entropy is what units cost that come in any order; an n-gram knows their order, so its
bits are nearer to what a language model has to predict. Probabilities are smoothed as Witten and
Bell (1991) do, recursively: with h' the history h without its oldest unit, c(h, u) how often u came
after h, and t(h) how many different units did,

    p(u | h) = (c(h, u) + t(h) p(u | h')) / (c(h) + t(h))

down to 1 / K for each of K units. Nothing is to be tuned, and the same units give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.errors import FeatbankError

Units = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MAX_CONTEXTS = 1 << 62
"""Different n-grams that can be numbered."""


class NgramModel:
    """An interpolated n-gram with Witten-Bell smoothing.

    Args:
        sequences: (T,) integers from 0 to `num_units - 1`, to count.
        num_units: K.
        order: n, 1 or more; a sequence begins with n - 1 marks.

    Raises:
        FeatbankError: there are too many n-grams to be numbered.
    """

    def __init__(self, sequences: Iterable[Units], num_units: int, order: int) -> None:
        if (num_units + 1) ** order > MAX_CONTEXTS:
            raise FeatbankError(
                "n-gram of units",
                expected=f"(units + 1) to the power of n below {MAX_CONTEXTS}",
                got=f"{num_units} units, n {order}",
                hint="take a smaller quality.ngram.order",
            )
        self._num_units, self._order = num_units, order
        whole = [self._grams(one) for one in sequences]
        grams = np.concatenate(whole) if whole else np.zeros(0, np.int64)
        self._levels = [
            _Level(grams % self._base(length), self._base(1)) for length in range(1, order + 1)
        ]

    def bits(self, sequence: Units) -> Floats:
        """Return -log2 p of each unit (T,) of a sequence, given those before it."""
        grams = self._grams(sequence)
        chances = np.full(len(grams), 1 / self._num_units)
        for length, level in enumerate(self._levels, start=1):
            chances = level.smoothed(grams % self._base(length), chances)
        bits: Floats = -np.log2(chances)
        return bits

    def _base(self, length: int) -> int:
        base: int = (self._num_units + 1) ** length
        return base

    def _grams(self, sequence: Units) -> Units:
        """Number the n-gram that ends at each unit: its units are digits, the last the lowest."""
        padded = np.full(len(sequence) + self._order - 1, self._num_units, np.int64)
        padded[self._order - 1 :] = sequence
        grams = np.zeros(len(sequence), np.int64)
        for place in range(self._order):
            grams = grams * self._base(1) + padded[place : place + len(sequence)]
        return grams


class _Level:
    """Counts of the n-grams of one length."""

    def __init__(self, grams: Units, base: int) -> None:
        self._base = base
        self._grams, self._counts = np.unique(grams, return_counts=True)
        self._histories, self._starts, self._kinds = np.unique(
            self._grams // base, return_index=True, return_counts=True
        )
        self._totals = (
            np.add.reduceat(self._counts, self._starts) if len(self._grams) else self._counts
        )

    def smoothed(self, grams: Units, shorter: Floats) -> Floats:
        """Join what was counted of n-grams with the chances of those without their oldest unit."""
        counts = _looked_up(self._grams, self._counts, grams)
        histories = grams // self._base
        totals = _looked_up(self._histories, self._totals, histories)
        kinds = _looked_up(self._histories, self._kinds, histories)
        seen = totals > 0
        chances = shorter.copy()
        chances[seen] = (counts + kinds * shorter)[seen] / (totals + kinds)[seen]
        return chances


def _looked_up(keys: Units, values: npt.NDArray[Any], asked: Units) -> Units:
    """Return the values of keys, which are in order; 0 of those that are not there."""
    if not len(keys):
        return np.zeros(len(asked), np.int64)
    places = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[places] == asked, values[places], 0)


def total_bits(
    train: Iterable[Units], held_out: Iterable[Units], *, num_units: int, order: int
) -> float:
    """Return the bits of held-out sequences by an n-gram of the others; see `NgramModel`."""
    model = NgramModel(train, num_units, order)
    return sum(float(model.bits(one).sum()) for one in held_out)
