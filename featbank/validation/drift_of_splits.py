"""Drift of splits: what the manifests of two versions say of their utterances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from featbank.base.amounts import amount, percent
from featbank.validation.distances import kolmogorov_smirnov, total_variation
from featbank.validation.drift_result import DriftKind, DriftLimits, DriftMeasure
from featbank.validation.drift_words import Name, shares_in_words
from featbank.validation.profile import SplitProfile


def split_measures(
    older: SplitProfile, newer: SplitProfile, limits: DriftLimits
) -> Iterator[DriftMeasure]:
    """Hold a split against that of the older version; no measure where one of them is empty.

    Args:
        older: what its manifest was like.
        newer: what it is like.
        limits: of the split.
    """
    if not limits.sizes.older or not limits.sizes.newer:
        return
    yield _shares_measure(DriftKind.RATES, older.rates, newer.rates, limits, "{} Hz".format)
    yield _shares_measure(DriftKind.LANGUAGES, older.languages, newer.languages, limits, _known)
    yield _shares_measure(DriftKind.SPEAKERS, older.speakers, newer.speakers, limits, _known)
    yield _shares_measure(DriftKind.TEXTS, older.texts, newer.texts, limits, _with_text)
    yield limits.measure(
        DriftKind.LENGTHS,
        kolmogorov_smirnov(older.durations_s, newer.durations_s),
        _told_lengths(older.durations_s),
        _told_lengths(newer.durations_s),
    )


def failure_measure(older: int, newer: int, limits: DriftLimits) -> Iterator[DriftMeasure]:
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
        yield limits.measure(DriftKind.FAILURES, abs(now - before), *told)


def _shares_measure(
    kind: DriftKind,
    older: Mapping[Name, int],
    newer: Mapping[Name, int],
    limits: DriftLimits,
    named: Callable[[Name], str],
) -> DriftMeasure:
    told = shares_in_words(older, newer, named)
    return limits.measure(kind, total_variation(older, newer), *told)


def _known(name: str) -> str:
    return name or "unknown"


def _with_text(there: bool) -> str:
    return "with a text" if there else "without"


def _told_lengths(durations_s: npt.NDArray[np.float64]) -> str:
    low, middle, high = np.quantile(durations_s, (0.1, 0.5, 0.9))
    return f"median {amount(middle, 1)} s, most {amount(low, 1)} to {amount(high, 1)} s"
