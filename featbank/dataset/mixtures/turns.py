"""Schedule of a mixture's sources, in which every prefix holds each by its share."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class _Fork:
    """Where a stream of picks parts in two: of `total` picks, `share` go to the left."""

    share: int
    total: int
    left: _Fork | int
    right: _Fork | int

    def to_left(self, num_picks: int) -> int:
        """Return how many of the first `num_picks` go to the left: the nearest whole number."""
        return (2 * num_picks * self.share + self.total) // (2 * self.total)


class Turns:
    """Endless schedule of sources 0, 1 and so on, of which any place is known at once.

    Of the first k picks, a source of share w has between w k - 2 and w k + 2, whatever k and the
    shares are. The sources are leaves of Huffman's tree of their shares; a fork gives its left side
    of m picks the whole number nearest to the share of m, so it is off by at most 1/2, and by that
    part of the error that it was handed which is the side's own share. In Huffman's tree what is
    no leaf has at most 2/3 of its fork. So the errors before a leaf stay below 1/2 + 2/3 of
    themselves, 3/2, and those of a leaf below 2. All of it is arithmetic of whole numbers.

    >>> turns = Turns([2, 1, 1])
    >>> turns.between(0, 8), turns.counts(1001)
    ([0, 1, 0, 2, 0, 1, 0, 2], [501, 250, 250])
    """

    def __init__(self, shares: Sequence[int]) -> None:
        """Build the tree.

        Args:
            shares: one or more whole numbers over 0, of which only their ratios count.
        """
        self.shares = tuple(shares)
        self.total = sum(shares)
        heap: list[tuple[int, int, _Fork | int]] = [
            (share, number, number) for number, share in enumerate(shares)
        ]
        heapq.heapify(heap)
        for number in range(len(shares), 2 * len(shares) - 1):
            share, _, left = heapq.heappop(heap)
            other, _, right = heapq.heappop(heap)
            heapq.heappush(heap, (share + other, number, _Fork(share, share + other, left, right)))
        self._root = heap[0][2]

    def counts(self, num_picks: int) -> list[int]:
        """Return how many of the first `num_picks` each source has."""
        counts = [0] * len(self.shares)
        waiting: list[tuple[_Fork | int, int]] = [(self._root, num_picks)]
        while waiting:
            node, picks = waiting.pop()
            if isinstance(node, int):
                counts[node] = picks
                continue
            to_left = node.to_left(picks)
            waiting += [(node.left, to_left), (node.right, picks - to_left)]
        return counts

    def between(self, first: int, stop: int) -> list[int]:
        """Return the sources of the picks from `first` up to, not including, `stop`."""
        return _between(self._root, first, stop)


def _between(node: _Fork | int, first: int, stop: int) -> list[int]:
    if isinstance(node, int):
        return [node] * (stop - first)
    to_left = [node.to_left(place) for place in range(first, stop + 1)]
    left = iter(_between(node.left, to_left[0], to_left[-1]))
    right = iter(_between(node.right, first - to_left[0], stop - to_left[-1]))
    return [next(left if after > before else right) for before, after in pairwise(to_left)]
