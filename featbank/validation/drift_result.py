"""Drift of a corpus from one version to another, as plain values for a person and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from featbank.base.amounts import amount
from featbank.errors import ValidationError
from featbank.files.provenance import readable_json, write_atomic
from featbank.validation.profile import SplitSizes
from featbank.validation.rounding import six_digits

FORMAT = "featbank-drift"
FORMAT_VERSION = 1


class DriftKind(StrEnum):
    """What may drift; `conf/validate.yaml` has a threshold for each."""

    RATES = "rates"
    LENGTHS = "lengths"
    LANGUAGES = "languages"
    SPEAKERS = "speakers"
    TEXTS = "texts"
    FAILURES = "failures"
    MEANS = "means"
    STDS = "stds"
    EXTREMES = "extremes"
    UNITS = "units"
    NEW_UNITS = "new_units"
    PERPLEXITY = "perplexity"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftMeasure:
    """One measure held against that of the older version.

    Args:
        place: a split, or `<choice>/<feature name>/<split>`.
        kind: of the measure.
        distance: between the versions; the unit is that of the threshold.
        limit: up to which it is no finding.
        older, newer: what each version has, in words.
    """

    place: str
    kind: DriftKind
    distance: float
    limit: float
    older: str
    newer: str

    @property
    def is_over(self) -> bool:
        """Tell whether this is a finding."""
        return self.distance > self.limit

    def __str__(self) -> str:
        """Say it in a sentence."""
        return (
            f"{self.place}: {self.kind.replace('_', ' ')} {'drifted' if self.is_over else 'moved'} "
            f"by {amount(self.distance, 2)}, limit {amount(self.limit, 2)}: "
            f"was {self.older}; is {self.newer}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLimits:
    """How far each measure of a place may go before it is a finding.

    Args:
        place: as of a `DriftMeasure`.
        sizes: of its split.
        thresholds: of each kind, in its own unit: those of `conf/validate.yaml`.
        chance: so many standard errors of two sets of so few utterances are no finding either.
    """

    place: str
    sizes: SplitSizes
    thresholds: Mapping[DriftKind, float]
    chance: float

    def limit(self, kind: DriftKind) -> float:
        """Return the larger of the threshold and of what chance alone does to so few utterances.

        The divergence of units goes with the square of the differences between their shares.
        """
        chance = self.chance * self.sizes.error
        return max(self.thresholds[kind], chance**2 if kind is DriftKind.UNITS else chance)

    def measure(self, kind: DriftKind, distance: float, older: str, newer: str) -> DriftMeasure:
        """Hold a distance against the limit; `older` and `newer` say in words what is there."""
        return DriftMeasure(
            place=self.place,
            kind=kind,
            distance=six_digits(distance),
            limit=six_digits(self.limit(kind)),
            older=older,
            newer=newer,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """All measures of a corpus held against those of an older version.

    Args:
        corpus: its name.
        against: how the older version was named.
        splits: utterances of each split that both versions have.
        measures: measures of the splits, then of the stores.
        notes: sentences about what could not be held against anything.
    """

    corpus: str
    against: str
    splits: Mapping[str, SplitSizes]
    measures: tuple[DriftMeasure, ...]
    notes: tuple[str, ...]

    @property
    def findings(self) -> list[DriftMeasure]:
        """The measures that went over their limit, the farthest first."""
        found = [measure for measure in self.measures if measure.is_over]
        return sorted(found, key=lambda measure: measure.limit / measure.distance)


def write_drift(drift: Drift, path: str | Path) -> None:
    """Write it as JSON, for people too: the findings as sentences, then all measures."""
    fields = asdict(drift)
    for shown, measure in zip(fields["measures"], drift.measures, strict=True):
        shown["is_over"] = measure.is_over
    said = {"format": FORMAT, "format_version": FORMAT_VERSION}
    findings = [str(measure) for measure in drift.findings]
    write_atomic(path, readable_json({**said, "findings": findings, **fields}))


def require_no_drift(drift: Drift) -> None:
    """End a run whose corpus drifted.

    Raises:
        ValidationError: counts the findings and names the farthest.
    """
    if findings := drift.findings:
        raise ValidationError(
            f"{drift.corpus} drifted from {drift.against} in {len(findings)} of "
            f"{len(drift.measures)} measures; the farthest is {findings[0]}",
            hint="if all of it is as it should be, strict=false only tells it, and "
            "drift.MEASURE=NUMBER allows more",
        )
