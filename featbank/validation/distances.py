"""Distances between two distributions: of lengths, of shares, and of the usage of a codebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.validation.agreement import entropy_of

Floats = npt.NDArray[np.float64]


def kolmogorov_smirnov(older: npt.ArrayLike, newer: npt.ArrayLike) -> float:
    """Return the largest difference between two cumulative distributions, from 0 to 1.

    The statistic of the two-sample test of Kolmogorov and Smirnov (Smirnov, 1939).

    >>> kolmogorov_smirnov([1, 2, 3, 4], [3, 4, 5, 6]), kolmogorov_smirnov([1, 2], [1, 1, 2, 2])
    (0.5, 0.0)

    Args:
        older: (N,) at least one value.
        newer: (M,) likewise.
    """
    left, right = np.sort(np.asarray(older)), np.sort(np.asarray(newer))
    steps = np.concatenate([left, right])
    below_left = np.searchsorted(left, steps, side="right") / len(left)
    below_right = np.searchsorted(right, steps, side="right") / len(right)
    return float(np.abs(below_left - below_right).max())


def total_variation(older: Mapping[Any, int], newer: Mapping[Any, int]) -> float:
    """Return the share of one set that would need another name to have the shares of the other.

    Half the sum of the differences of the shares, from 0 to 1.

    >>> total_variation({"en": 3, "fr": 1}, {"en": 2, "de": 2})
    0.5

    Args:
        older: how many have each name; at least one has.
        newer: likewise.
    """
    left, right = sum(older.values()), sum(newer.values())
    names = older.keys() | newer.keys()
    return (
        sum(abs(older.get(one, 0) / left - newer.get(one, 0) / right) for one in sorted(names)) / 2
    )


def jensen_shannon_bits(older: Sequence[int], newer: Sequence[int]) -> float:
    """Return the Jensen-Shannon divergence of the shares of some counts, from 0 to 1 bit.

    The entropy of the mean of both less the mean of their entropies (Lin, 1991).

    >>> jensen_shannon_bits([1, 1, 0], [2, 2, 0]), jensen_shannon_bits([3, 0], [0, 5])
    (0.0, 1.0)

    Args:
        older: (K,) counts, of which one is over 0.
        newer: (K,) likewise.
    """
    left, right = _shares(older), _shares(newer)
    found = entropy_of((left + right) / 2) - (entropy_of(left) + entropy_of(right)) / 2
    return max(0.0, found)


def perplexity(counts: Sequence[int]) -> float:
    """Return how many evenly used units have the entropy of some counts.

    >>> perplexity([5, 5, 0]), perplexity([2, 2, 2, 2])
    (2.0, 4.0)
    """
    return float(2 ** entropy_of(_shares(counts)))


def share_outside(counts: Sequence[int], known: Sequence[int]) -> float:
    """Return the share of some counts that are of units which others do not use at all.

    >>> share_outside([6, 1, 1], [9, 0, 2])
    0.125
    """
    return float(_shares(counts)[np.asarray(known) == 0].sum())


def _shares(counts: Sequence[int]) -> Floats:
    values = np.asarray(counts, np.float64)
    shares: Floats = values / values.sum()
    return shares
