"""Check of one store against its manifest and its own header, with statistics of its values.

Every shard is read twice in a row, for its digest and for its values, so the disk is asked once.
Values go by in blocks: memory is bounded by a block and by the ids of one split.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from featbank.base.failure_kinds import failures_by_kind
from featbank.base.failures import Failure
from featbank.base.label_forms import find_labels
from featbank.base.labels import Labels, frame_centers_s
from featbank.base.manifest import Utterance
from featbank.base.progress import Advance
from featbank.errors import StoreError
from featbank.store import MappedShard, Store, StoreHeader, read_header, verify_shard
from featbank.store.format import FAILURES_NAME
from featbank.store.verify import file_problem
from featbank.validation.header import (
    check_header,
    compare_with_shard,
    is_merged,
    is_tokens,
    read_failed,
    value_rules,
)
from featbank.validation.joint import JointCounts
from featbank.validation.lengths import LengthCheck
from featbank.validation.moments import ColumnMoments
from featbank.validation.result import DimensionMoments, Example, ProblemLog, StoreCheck
from featbank.validation.rounding import six_digits
from featbank.validation.scan import make_example, scan_shard

Array = np.ndarray[Any, np.dtype[Any]]

_MAX_DIMENSIONS = 4096  # of a frame, whose moments a check tells one by one


def check_store(
    folder: Path,
    rows: Sequence[Utterance],
    *,
    place: str,
    labels: Labels | None = None,
    advance: Advance = lambda _: None,
) -> StoreCheck:
    """Check one store.

    Where runs of equal units were merged, the store is `.../units/<split>` without a frame rate,
    and `.../durations/<split>` beside it says how many frames of the framing each unit lasts.

    Args:
        folder: of the store: `<feature name>/<split>`.
        rows: of the split's manifest.
        place: how sentences name the store.
        labels: of the corpus, to hold tokens against.
        advance: told the seconds of audio done, shard by shard.

    Returns:
        The findings. Damage is a finding, never an error.

    Raises:
        CorpusError: the labels are malformed.
    """
    log = ProblemLog(place)
    try:
        header = read_header(folder)
    except StoreError as error:
        log.add("unreadable store", "", expected="a store", got=error)
        return StoreCheck(
            name=folder.parent.name,
            split=folder.name,
            num_expected=len(rows),
            problems=log.problems(),
        )
    check_header(header, folder, log)
    tally = _Tally(folder, header, rows, log, labels)
    for number, info in enumerate(header.shards):
        before = tally.audio_s
        try:
            tally.add(number)
        except StoreError as error:
            log.add("damaged shard", f"shard {info.name}", expected="a whole shard", got=error)
        advance(tally.audio_s - before)
    failed = read_failed(folder, header, log)
    tally.check_every_row_is_somewhere([failure.id for failure in failed])
    return tally.result(failed)


class _Tally:
    """What the shards of a store hold, added up shard by shard."""

    def __init__(
        self,
        folder: Path,
        header: StoreHeader,
        rows: Sequence[Utterance],
        log: ProblemLog,
        labels: Labels | None,
    ) -> None:
        self._folder = folder
        self._header = header
        self._rows = {row.id: row for row in rows}
        self._log = log
        self._store = Store(folder)  # in whatever place: `check_statement` tells
        self._rules = value_rules(header, log)
        self._lengths = LengthCheck(folder, header, log)
        self._shard_of: dict[str, str] = {}
        self._moments = ColumnMoments()
        self._counts = self._rules.no_counts()
        self._labels = labels if self._rules.num_units is not None else None
        self._joint = JointCounts(*self._counts.frames.shape)
        self._example: Example | None = None
        self._example_key = b""
        self._num_frames = self._num_bytes = 0
        self.audio_s = 0.0

    def add(self, number: int) -> None:
        """Check a shard of the header and count what it holds.

        Raises:
            StoreError: it is missing, or too damaged to be read.
        """
        info = self._header.shards[number]
        path, where = self._folder / info.name, f"shard {info.name}"
        shard = MappedShard(path, info.num_bytes)
        damage: object
        if compare_with_shard(self._header, info, shard, where, self._log):
            damage = verify_shard(self._folder, self._header, info)
            self._check_lookup(shard, where)
        else:  # which is said; are these bytes those that were written?
            damage = file_problem(path, self._header, info)
        if damage:
            self._log.add("changed bytes", where, expected="all as written", got=damage)
        scan = scan_shard(shard, self._rules)
        previous = ""
        for row, utterance_id in enumerate(shard.ids()):
            row_where = f"{where}, utterance {utterance_id!r}"
            if utterance_id <= previous:
                self._log.add("unsorted rows", row_where, expected=f"after {previous!r}", got="it")
            previous = utterance_id
            self._add_row(shard, row, utterance_id, info.part, row_where)
        for kind, rows in scan.faults.items():
            for row, count in sorted(rows.items()):
                self._log.add(
                    f"{kind} values",
                    f"{where}, utterance {shard.id(row)!r}",
                    expected=self._rules.describe(),
                    got=f"{kind} in {count} of {len(shard.frames(row))} frames",
                )
        self._moments += scan.moments
        self._counts.runs += scan.counts.runs
        if not is_merged(self._header):  # else their durations tell, row by row
            self._counts.frames += scan.counts.frames
        self._num_frames += shard.num_frames
        self._num_bytes += path.stat().st_size

    def check_every_row_is_somewhere(self, failed: Sequence[str]) -> None:
        """Compare the manifest with the store and its failure list."""
        in_list = set(failed)
        for utterance_id in self._rows:
            where = f"utterance {utterance_id!r}"
            wanted = f"it in the store or in {FAILURES_NAME}"
            if utterance_id in in_list and utterance_id in self._shard_of:
                self._log.add("stored and failed", where, expected=wanted, got="both")
            elif utterance_id not in in_list and utterance_id not in self._shard_of:
                self._log.add("missing row", where, expected=wanted, got="neither")
        for utterance_id in sorted(in_list - set(self._rows)):
            self._log.add(
                "extra failure",
                f"{FAILURES_NAME}, utterance {utterance_id!r}",
                expected="a row of the manifest",
                got="no such row",
            )

    def result(self, failed: Sequence[Failure]) -> StoreCheck:
        """Return what was found so far, with the failure list."""
        moments = self._moments.pooled
        measured = moments.count and not is_tokens(self._header)
        return StoreCheck(
            name=self._folder.parent.name,
            split=self._folder.name,
            header={k: v for k, v in self._header.to_json().items() if k != "shards"},
            num_expected=len(self._rows),
            num_utterances=len(self._shard_of),
            num_frames=self._num_frames,
            num_bytes=self._num_bytes,
            num_shards=len(self._header.shards),
            num_failures=len(failed),
            failures=failures_by_kind(failed),
            audio_s=round(self.audio_s, 6),
            minimum=six_digits(moments.minimum) if moments.count else None,
            mean=six_digits(moments.mean) if measured else None,
            maximum=six_digits(moments.maximum) if moments.count else None,
            std=six_digits(moments.std) if measured else None,
            dimensions=_dimensions(self._moments) if measured else None,
            codebooks=None if self._rules.num_units is None else self._counts.result(),
            labels=None if self._labels is None else self._joint.result(),
            confusion=self._joint.confusion(),
            example=self._example,
            problems=self._log.problems(),
        )

    def _check_lookup(self, shard: MappedShard, where: str) -> None:
        """Ask a reader for the first and the last row of a shard."""
        for row in sorted({0, len(shard) - 1}):
            utterance_id = shard.id(row)
            try:
                found = utterance_id in self._store
            except StoreError as error:
                got: object = error.got  # not its path, which is this machine's
            else:
                if found:
                    continue
                got = "no such id"
            self._log.add(
                "unreachable row",
                f"{where}, utterance {utterance_id!r}",
                expected="a reader to find it",
                got=got,
            )

    def _add_row(
        self, shard: MappedShard, number: int, utterance_id: str, part: str, where: str
    ) -> None:
        if utterance_id in self._shard_of:
            self._log.add(
                "repeated row",
                where,
                expected="it once",
                got=f"also {self._shard_of[utterance_id]}",
            )
        self._shard_of[utterance_id] = shard.path.name
        row = self._rows.get(utterance_id)
        if row is None:
            self._log.add("extra row", where, expected="a row of the manifest", got="no such row")
            return
        self.audio_s += row.duration_s
        if part != row.part:
            self._log.add("wrong part", where, expected=repr(row.part), got=repr(part))
        if (found := shard.input_digest(number)) != row.input_digest:
            self._log.add(
                "other audio",
                where,
                expected=f"input digest {row.input_digest.hex()}",
                got=found.hex(),
            )
        values = shard.values(shard.frames(number))
        frames = self._lengths.frames(values, row, where)
        if frames is not None and self._rules.counts(shard.spec):
            self._add_frames(frames, utterance_id)
        # the smallest digest: the same utterance in every store, also when the corpus grows
        key = sha256(utterance_id.encode()).digest()
        if len(values) and (self._example is None or key < self._example_key):
            codes = is_tokens(self._header)
            self._example = make_example(utterance_id, values, codes=codes)
            self._example_key = key

    def _add_frames(self, tokens: Array, utterance_id: str) -> None:
        """Count the tokens of an utterance, a frame each."""
        if is_merged(self._header):
            self._counts.add_frames(tokens)
        if self._labels is not None and self._header.framing is not None:
            centers_s = frame_centers_s(self._header.framing, len(tokens))
            self._joint.add(tokens, find_labels(self._labels, utterance_id), centers_s)


def _dimensions(moments: ColumnMoments) -> DimensionMoments | None:
    """Return the moments of each dimension, where there are some, and none without a value."""
    if not 1 < len(moments.counts) <= _MAX_DIMENSIONS or not moments.counts.all():
        return None
    return DimensionMoments(
        means=tuple(six_digits(value) for value in moments.means.tolist()),
        stds=tuple(six_digits(value) for value in moments.stds.tolist()),
    )
