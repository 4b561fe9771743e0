"""Cutting of utterances into full batches, whose number is the same in every epoch.

As many utterances of one length fit into a batch as the limit holds of it. Utterances of which
about as many fit form a bucket, and all count as those of which fewest fit. From the shortest
bucket to the longest, a batch takes utterances as long as the limit holds so many of the bucket it
is at: it is full, whichever of the bucket's utterances it is given. So the cut is made once, and an
epoch only draws which utterance of a bucket stands where.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_MOST_BATCHES = 1.05
"""Times as many batches as without buckets: more than that are not paid for varied ones."""

_BITS = 8  # of how many fit into a batch: half a per cent is all that the others tell


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """Boundaries of batches among utterances that are sorted by bucket.

    Args:
        buckets: of each utterance, (N,), 0 for the shortest.
        edges: the first place of each batch, then N: (num_batches + 1,).
    """

    buckets: npt.NDArray[np.unsignedinteger]
    edges: Ints

    @property
    def num_batches(self) -> int:
        """Number of batches."""
        return len(self.edges) - 1


def cut(
    lengths: Ints, *, max_frames: int, max_utterances: int | None = None, num_buckets: int | None
) -> Cut:
    """Cut utterances into batches.

    Args:
        lengths: (N,), 0 to `max_frames` each.
        max_frames: of a batch: its longest length times its utterances.
        max_utterances: of a batch.
        num_buckets: at most; more where they would cost over a twentieth more batches. None for a
            bucket wherever another number of utterances fits.
    """
    fitting = max_frames // np.maximum(lengths, 1)
    if max_utterances is not None:
        np.minimum(fitting, max_utterances, out=fitting)
    shifts = np.maximum(np.frexp(fitting.astype(np.float64))[1] - _BITS, 0)
    sizes, kind, counts = np.unique(
        -(fitting >> shifts << shifts), return_inverse=True, return_counts=True
    )
    sizes = -sizes  # falling: from the shortest utterances to the longest
    lasts = np.arange(len(sizes))
    edges = _edges(sizes, counts)
    if num_buckets is not None:
        most = _MOST_BATCHES * (len(edges) - 1)
        while num_buckets < len(sizes):
            fewer = _merged(sizes, counts, num_buckets)
            merged = _edges(sizes[fewer], np.diff(np.cumsum(counts)[fewer], prepend=0))
            if len(merged) - 1 <= most:
                lasts, edges = fewer, merged
                break
            num_buckets *= 2
    buckets = np.searchsorted(lasts, np.arange(len(sizes)))
    return Cut(buckets=buckets.astype(np.min_scalar_type(len(lasts)))[kind], edges=edges)


def _edges(sizes: Ints, counts: Ints) -> Ints:
    """Return where batches begin, (num_batches + 1,), going on into the next bucket greedily.

    Args:
        sizes: utterances of a batch that may be of this bucket, falling.
        counts: utterances of each bucket.
    """
    parts, place = [], 0
    for size, num_batches in _runs(sizes.tolist(), counts.tolist()):
        parts.append(place + size * np.arange(num_batches))
        place += size * num_batches
    return np.concatenate([*parts, [place]]).astype(np.int64)


def _runs(sizes: list[int], counts: list[int]) -> Iterator[tuple[int, int]]:
    """Give sizes of batches, and how many have that size one after the other."""
    left, bucket = list(counts), 0
    while bucket < len(sizes):
        if num_batches := left[bucket] // sizes[bucket]:
            yield sizes[bucket], num_batches
            left[bucket] %= sizes[bucket]
        taken = 0
        while bucket < len(sizes) and taken < sizes[bucket]:
            added = min(left[bucket], sizes[bucket] - taken)
            taken += added
            left[bucket] -= added
            if left[bucket]:
                break
            bucket += 1
        if taken:
            yield taken, 1


def _merged(sizes: Ints, counts: Ints, num_buckets: int) -> npt.NDArray[np.intp]:
    """Merge neighbours into `num_buckets` so that batches stay as full as they can.

    An utterance takes a batch's share of 1 / size, the size being that of its bucket's longest. The
    least sum of these shares is found by dynamic programming over where buckets end, as Fisher
    (1958) groups for most homogeneity.

    Returns:
        The last of those that form each bucket, (num_buckets,).
    """
    number = len(sizes)
    before = np.concatenate([[0], np.cumsum(counts)])
    # of a bucket from `first` up to, not including, `end`
    shares = (before[None, 1:] - before[:-1, None]) / sizes[None, :]
    shares[np.tril_indices(number, -1)] = np.inf
    least = np.concatenate([[0.0], np.full(number, np.inf)])
    firsts = []
    for _ in range(num_buckets):
        sums = least[:-1, None] + shares
        firsts.append(sums.argmin(axis=0))
        least[1:] = sums[firsts[-1], np.arange(number)]
        least[0] = np.inf  # a further bucket has others before it
    last, lasts = number - 1, []
    for first in reversed(firsts):
        lasts.append(last)
        last = int(first[last]) - 1
    return np.array(lasts[::-1])
