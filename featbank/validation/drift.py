"""Drift: the manifests and checks of a corpus held against those of an older version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from featbank.base.failures import read_failures
from featbank.base.manifest import iterate_manifest
from featbank.base.split_names import FAILED_NAME, in_order, split_names
from featbank.validation.drift_of_splits import failure_measure, split_measures
from featbank.validation.drift_of_stores import (
    fingerprint_of,
    have_the_same_units,
    store_measures,
)
from featbank.validation.drift_result import Drift, DriftKind, DriftLimits
from featbank.validation.profile import SplitProfile, SplitSizes
from featbank.validation.result import CheckResult, StoreCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusVersion:
    """One version of a corpus.

    Args:
        profiles: what each split is like.
        num_failed: rows that `prepare` could not use.
        checks: results by the name of their choice, such as `features/fbank`.
    """

    profiles: Mapping[str, SplitProfile]
    num_failed: int
    checks: Mapping[str, CheckResult]

    @classmethod
    def read(cls, manifests: Path, checks: Mapping[str, CheckResult]) -> CorpusVersion:
        """Read the manifests of a version, of which 16 bytes a row are kept.

        Raises:
            ManifestError: a manifest is missing or malformed.
            FeatbankError: the failure list is damaged.
        """
        return cls(
            profiles={
                split: SplitProfile.of(iterate_manifest(manifests / f"{split}.jsonl"))
                for split in split_names(manifests)
            },
            num_failed=len(read_failures(manifests / FAILED_NAME)),
            checks=checks,
        )


def find_drift(
    older: CorpusVersion,
    newer: CorpusVersion,
    *,
    corpus: str,
    against: str,
    thresholds: Mapping[DriftKind, float],
    chance: float,
) -> Drift:
    """Hold a version of a corpus against an older one: each split, and each store that was checked.

    Args:
        older: it may lack checks, which is noted.
        newer: whose checks are held against those of the older one.
        corpus: name of the corpus.
        against: how the older version was named.
        thresholds: up to which each measure is no finding.
        chance: standard errors up to which it is none either; see `DriftLimits`.
    """
    before, now = older.profiles, newer.profiles
    sizes = {
        split: SplitSizes.of(before[split], now[split])
        for split in in_order(before.keys() & now.keys())
    }

    def limits(place: str, split: str) -> DriftLimits:
        return DriftLimits(place=place, sizes=sizes[split], thresholds=thresholds, chance=chance)

    measures = [
        measure
        for split in sizes
        for measure in split_measures(before[split], now[split], limits(split, split))
    ]
    whole = SplitSizes.sum(sizes.values())
    everywhere = DriftLimits(place="all splits", sizes=whole, thresholds=thresholds, chance=chance)
    measures += failure_measure(older.num_failed, newer.num_failed, everywhere)
    notes = [*_only_in("split", list(before), list(now))]
    for name, check in newer.checks.items():
        if name not in older.checks:
            notes.append(f"{name}: the older version has no check of it")
            continue
        stored, stores = _by_place(older.checks[name]), _by_place(check)
        notes += _only_in(f"store {name}", list(stored), list(stores))
        for place in [one for one in stores if one in stored]:
            before_it, it = stored[place], stores[place]
            notes += _other_definition(f"{name}/{it.name}", before_it, it)
            if it.split in sizes:
                measures += store_measures(before_it, it, limits(f"{name}/{place}", it.split))
    notes = list(dict.fromkeys(notes))  # one of several splits says it
    return Drift(
        corpus=corpus, against=against, splits=sizes, measures=tuple(measures), notes=tuple(notes)
    )


def _by_place(check: CheckResult) -> dict[str, StoreCheck]:
    return {f"{store.name}/{store.split}": store for store in check.stores}


def _only_in(what: str, older: Sequence[str], newer: Sequence[str]) -> Iterator[str]:
    """Note what one of the versions lacks."""
    for name in older:
        if name not in newer:
            yield f"{what} {name}: the older version alone has it"
    for name in newer:
        if name not in older:
            yield f"{what} {name}: it is new"


def _other_definition(place: str, older: StoreCheck, newer: StoreCheck) -> Iterator[str]:
    """Note what makes measures of a store tell of its making, and not of the corpus."""
    if newer.codebooks is not None and not have_the_same_units(older, newer):
        yield f"{place}: its units are those of another codebook, and not held against each other"
    elif fingerprint_of(older) != fingerprint_of(newer):
        yield f"{place}: made by another definition, which may be why it moved"
