"""Checks of all stores of an option against their manifests and their own headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from featbank.base.label_forms import LabelSource, open_labels
from featbank.base.manifest import read_manifest
from featbank.base.notices import tell
from featbank.base.progress import Advance
from featbank.base.split_names import split_names
from featbank.validation.header import check_features, check_splits_agree, check_statement
from featbank.validation.held_out import HeldOut
from featbank.validation.quality import QualityPlan
from featbank.validation.result import CheckResult, LengthHistogram, ProblemLog, StoreCheck
from featbank.validation.store import check_store

_BIN_WIDTHS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
_MAX_BINS = 40


def validate_stores(
    folder: str | Path,
    manifests: str | Path,
    *,
    name: str,
    labels: LabelSource | str | Path | None = None,
    held_out: HeldOut | None = None,
    quality: QualityPlan | None = None,
    advance: Advance = lambda _: None,
) -> CheckResult:
    """Check every store of one option against the manifests, and measure what it holds.

    Args:
        folder: holds the option's stores as `<feature name>/<split>`.
        manifests: folder with a manifest a split.
        name: of the option in the result and in its sentences, such as `features/fbank`.
        labels: time-aligned labels of the utterances, as `open_labels` takes them, to hold tokens
            against; None for none.
        held_out: how to measure the inertia of the codebook that made the option's tokens; None
            for an option without.
        quality: how to measure the quality of the stores; None for not.
        advance: told the seconds of audio done; for a sound option they add up to the manifests'.

    Returns:
        The findings. Damage is a finding, never an error.

    Raises:
        ManifestError: a manifest is missing or malformed, or one more than the corpus's splits.
        CorpusError: the labels are.
    """
    tell(phase=f"reading {name}")
    splits = split_names(manifests)
    rows = {split: read_manifest(Path(manifests, f"{split}.jsonl")) for split in splits}
    features = _folders(Path(folder))
    found_labels = None if labels is None else open_labels(labels)
    log = ProblemLog(name)
    if not features:
        log.add("no store", "", expected=f"stores in {folder}", got="none")
    checks: list[StoreCheck] = []
    for feature in features:
        for extra in sorted({path.name for path in _folders(feature)} - set(splits)):
            log.add("unknown split", feature.name, expected=" or ".join(splits), got=repr(extra))
        of_feature = [
            check_store(
                feature / split,
                rows[split],
                place=f"store {name}/{feature.name}/{split}",
                labels=found_labels,
                advance=lambda seconds: advance(seconds / len(features)),
            )
            for split in splits
        ]
        check_splits_agree(of_feature, log)
        check_statement(feature, log)
        checks += of_feature
    if held_out is not None:
        tell(phase=f"measuring inertia of {name}")
    inertia = None if held_out is None else held_out.measure(rows)
    if quality is not None:
        tell(phase=f"measuring quality of {name}")
    measured = None if quality is None else quality.measure(features, rows, found_labels)
    check_features([feature.name for feature in features], checks, log)
    return CheckResult(
        name=name,
        stores=tuple(checks),
        lengths=length_histogram(
            {split: [row.duration_s for row in rows[split]] for split in splits}
        ),
        problems=log.problems(),
        inertia=inertia,
        quality=measured,
    )


def length_histogram(durations_s: Mapping[str, Sequence[float]]) -> LengthHistogram:
    """Count utterances by length, in bins that all splits share: at most 40, up to 40 hours.

    >>> length_histogram({"train": [0.25, 0.31, 0.55], "dev": []}).counts
    {'train': (0, 0, 1, 1, 0, 1), 'dev': (0, 0, 0, 0, 0, 0)}
    """
    longest = max((length for lengths in durations_s.values() for length in lengths), default=0)
    bin_s = next(
        (width for width in _BIN_WIDTHS_S if longest < width * _MAX_BINS), _BIN_WIDTHS_S[-1]
    )
    counts = {split: [0] * (int(longest / bin_s) + 1) for split in durations_s}
    for split, lengths in durations_s.items():
        for length in lengths:
            counts[split][int(length / bin_s)] += 1
    return LengthHistogram(
        bin_s=bin_s, counts={split: tuple(bins) for split, bins in counts.items()}
    )


def _folders(path: Path) -> list[Path]:
    """Return the folders below `path`, by name; hidden ones are unfinished stores."""
    if not path.is_dir():
        return []
    return sorted(
        found for found in path.iterdir() if found.is_dir() and not found.name.startswith(".")
    )
