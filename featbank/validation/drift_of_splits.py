"""Drift of splits: what the manifests of two versions say of their utterances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.base.amounts import amount, percent
from featbank.validation.distances import kolmogorov_smirnov, total_variation
from featbank.validation.drift_result import DriftKind, DriftLimits, Shift
from featbank.validation.profile import SplitProfile

_SHOWN = 3  # names whose shares changed most

Names = Mapping[Any, int]


def split_shifts(older: SplitProfile, newer: SplitProfile, limits: DriftLimits) -> Iterator[Shift]:
    """Hold a split against that of the older version; no measure where one of them is empty.

    Args:
        older: what its manifest was like.
        newer: what it is like.
        limits: of the split.
    """
    if not limits.sizes.older or not limits.sizes.newer:
        return
    shares: dict[DriftKind, tuple[Names, Names]] = {
        DriftKind.RATES: (older.rates, newer.rates),
        DriftKind.LANGUAGES: (older.languages, newer.languages),
        DriftKind.SPEAKERS: (older.speakers, newer.speakers),
        DriftKind.TEXTS: (older.texts, newer.texts),
    }
    for kind, (before, now) in shares.items():
        yield limits.shift(kind, total_variation(before, now), *_told_shares(kind, before, now))
    yield limits.shift(
        DriftKind.LENGTHS,
        kolmogorov_smirnov(older.durations_s, newer.durations_s),
        _told_lengths(older.durations_s),
        _told_lengths(newer.durations_s),
    )


def failure_shift(older: int, newer: int, limits: DriftLimits) -> Iterator[Shift]:
    """Hold the share of rows that failed against the older one; nothing where there are no rows.

    Args:
        older: rows that failed in the older version, beside the utterances of `limits.sizes`.
        newer: likewise in the newer.
        limits: of the corpus.
    """
    totals = limits.sizes.older + older, limits.sizes.newer + newer
    if all(totals):
        before, now = older / totals[0], newer / totals[1]
        told = percent(before, 2), percent(now, 2)
        yield limits.shift(DriftKind.FAILURES, abs(now - before), *told)


def _told_shares(kind: DriftKind, older: Names, newer: Names) -> tuple[str, str]:
    """Say the shares of the names that changed most, those of both versions in one order."""
    before, now = (
        {name: count / sum(counts.values()) for name, count in counts.items()}
        for counts in (older, newer)
    )
    changes = {name: abs(before.get(name, 0) - now.get(name, 0)) for name in {*before, *now}}
    shown = [name for name, _ in Counter(dict(sorted(changes.items()))).most_common(_SHOWN)]

    def told(shares: Mapping[Any, float]) -> str:
        return ", ".join(f"{_named(kind, one)} {percent(shares.get(one, 0))}" for one in shown)

    return told(before), told(now)


def _named(kind: DriftKind, name: object) -> str:
    if kind is DriftKind.TEXTS:
        return "with a text" if name else "without"
    if kind is DriftKind.RATES:
        return f"{name} Hz"
    return str(name) or "unknown"


def _told_lengths(durations_s: npt.NDArray[np.float64]) -> str:
    low, middle, high = np.quantile(durations_s, (0.1, 0.5, 0.9))
    return f"median {amount(middle, 1)} s, most {amount(low, 1)} to {amount(high, 1)} s"
