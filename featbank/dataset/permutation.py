"""Pseudorandom permutations that follow from a key alone: as a list, or place by place."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from operator import index

import numpy as np
import numpy.typing as npt

_NUM_ROUNDS = 4
_MIX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9
_64_BITS = (1 << 64) - 1


class Permutation(Sequence[int]):
    """Permutation of 0 to count - 1 that follows from the key alone.

    A Feistel network over the next power of four, walked until it ends below `count` (Black and
    Rogaway, "Ciphers with Arbitrary Finite Domains", 2002): no list is made, so that an order of
    billions costs nothing, and any place in it takes microseconds.

    >>> list(Permutation(5, 0, "epoch 1"))
    [3, 4, 1, 2, 0]
    """

    __slots__ = ("_count", "_half", "_keys", "_mask")

    def __init__(self, count: int, *key: object) -> None:
        """Prepare an order.

        Args:
            count: of the numbers.
            key: numbers and texts; another key gives another order.
        """
        self._count = index(count)
        # bits of each half of a number; with fewer than three, some orders come more often
        self._half = max(3, -(-max(0, self._count - 1).bit_length() // 2))
        self._mask = (1 << self._half) - 1
        drawn = sha256(repr(key).encode()).digest()
        self._keys = [int.from_bytes(drawn[8 * n : 8 * n + 8]) for n in range(_NUM_ROUNDS)]

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return self._count

    def __getitem__(self, place: int) -> int:  # type: ignore[override]
        """Return the number at a place.

        Raises:
            IndexError: there is no such place.
        """
        if not -self._count <= place < self._count:
            raise IndexError(f"expected a place within {self._count}, got {place}")
        number = index(place) % self._count
        while True:
            number = self._encrypted(number)
            if number < self._count:
                return number

    def _encrypted(self, number: int) -> int:
        half, mask = self._half, self._mask
        left, right = number >> half, number & mask
        for key in self._keys:
            mixed = (right + key) * _MIX[0] & _64_BITS
            mixed = (mixed ^ (mixed >> 29)) * _MIX[1] & _64_BITS
            left, right = right, left ^ (mixed >> 32) & mask
        return left << half | right


def shuffled(count: int, *key: object) -> npt.NDArray[np.int64]:
    """Return 0 to count - 1 in an order that follows from the key alone, on any version of NumPy.

    Sorts by SplitMix64 of the number (Steele, Lea and Flood, 2014), which NumPy's own generators
    do not promise to keep from version to version.

    >>> shuffled(5, 0, "epoch 1")
    array([1, 0, 4, 3, 2])
    """
    start = int.from_bytes(sha256(repr(key).encode()).digest()[:8])
    mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64(start)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")
