"""Do the stores of an option hold what its manifests and their own headers promise?

Every shard is read once, in blocks: memory is bounded by a block and by the ids of one split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from math import ceil
from pathlib import Path

import numpy as np

from featbank.audio import resampled_length
from featbank.check import CheckResult, Example, LengthHistogram, ProblemLog, StoreCheck
from featbank.errors import StoreError
from featbank.failures import read_failures
from featbank.manifest import SPLITS, Utterance, read_manifest
from featbank.progress import Advance
from featbank.provenance import file_sha256
from featbank.scan import Moments, ValueRules, make_example, scan_shard
from featbank.store import MappedShard, ShardInfo, StoreHeader, open_store, read_header
from featbank.store.format import FAILURES_NAME

UNITS, DURATIONS = "units", "durations"

_BIN_WIDTHS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
_MAX_BINS = 40


def validate_stores(
    folder: str | Path,
    manifests: str | Path,
    *,
    name: str,
    advance: Advance = lambda _: None,
) -> CheckResult:
    """Check every store of one option against the manifests, and measure what it holds.

    Args:
        folder: holds the option's stores as `<feature name>/<split>`.
        manifests: folder with a manifest a split.
        name: of the option in the result and in its sentences, such as `features/fbank`.
        advance: told the seconds of audio done; for a sound option they add up to the manifests'.

    Returns:
        The findings. Damage is a finding, never an error.

    Raises:
        ManifestError: a manifest is missing or malformed.
    """
    rows = {split: read_manifest(Path(manifests, f"{split}.jsonl")) for split in SPLITS}
    features = _folders(Path(folder))
    log = ProblemLog(name)
    if not features:
        log.add("no store", "", expected=f"stores in {folder}", got="none")
    checks = []
    for feature in features:
        for extra in sorted({path.name for path in _folders(feature)} - set(SPLITS)):
            log.add("unknown split", feature.name, expected=" or ".join(SPLITS), got=repr(extra))
        for split in SPLITS:
            checker = _StoreChecker(
                feature / split, place=f"store {name}/{feature.name}/{split}", rows=rows[split]
            )
            checks.append(checker.check(lambda seconds: advance(seconds / len(features))))
    return CheckResult(
        name=name,
        stores=tuple(checks),
        lengths=length_histogram(
            {split: [row.duration_s for row in rows[split]] for split in SPLITS}
        ),
        problems=log.problems(),
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


class _StoreChecker:
    """Checks one store, shard by shard."""

    def __init__(self, folder: Path, *, place: str, rows: Sequence[Utterance]) -> None:
        self._folder = folder
        self._log = ProblemLog(place)
        self._rows = rows
        self._index = {row.id: number for number, row in enumerate(rows)}
        self._seen = np.zeros(len(rows), np.int64)
        self._moments = Moments()
        self._usage: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None
        self._example: Example | None = None
        self._found = StoreCheck(
            name=folder.parent.name, split=folder.name, num_expected=len(rows)
        )

    def check(self, advance: Advance) -> StoreCheck:
        """Return what there is and what is wrong with it."""
        try:
            header = read_header(self._folder)
        except StoreError as error:
            self._log.add("unreadable store", "", expected="a store", got=error)
            return replace(self._found, problems=self._log.problems())
        self._check_header(header)
        for info in header.shards:
            ...
        return self._found
