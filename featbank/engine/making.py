"""The shards of one task while a worker makes them: copied rows, computed ones, failures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Generic, Protocol, Self, TypeVar

from featbank.base.failures import Failure
from featbank.base.manifest import Utterance
from featbank.base.notices import tell
from featbank.base.progress import Advance
from featbank.engine.calling import Features
from featbank.engine.previous_rows import OpenedShards, PreviousRows
from featbank.engine.rows import task_numerics
from featbank.engine.tasks import ShardResult, ShardTask, Source, Tally
from featbank.engine.work import put, shard_path, write_result
from featbank.errors import AudioError, FeatbankError
from featbank.features.base import Extractor
from featbank.files.remote import any_path, is_there
from featbank.store import Encoded, Numerics, ShardInfo, ShardSpec, shard_name


class ShardSink(Protocol):
    """Takes the rows of one shard in any order; see `featbank.store.ShardWriter`."""

    def write(self, utterance_id: str, values: Encoded, /) -> None:
        """Take a whole row."""

    def discard(self, utterance_id: str, /) -> None:
        """Leave out a row that failed."""

    def close(self) -> ShardInfo | None:
        """Finish the shard; None when it has no row."""

    def abort(self) -> None:
        """Drop the unfinished shard."""


Sink = TypeVar("Sink", bound=ShardSink)


class ShardMaker(Protocol[Sink]):
    """What is the same for all tasks of a worker; see `featbank.engine.worker.ShardWorker`."""

    audio_root: str
    extractor: Extractor
    numerics: Numerics
    specs: Mapping[str, ShardSpec]

    def open_sink(self, task: ShardTask, name: str, spec: ShardSpec) -> Sink:
        """Begin a shard."""

    def write_row(
        self, row: Utterance, pieces: Iterator[Features], sinks: Mapping[str, Sink]
    ) -> None:
        """Write the row that consecutive pieces of features make."""


class ShardInMaking(Generic[Sink]):
    """The shards of one task from the first row to its result: same rows in all of them.

    Rows that are in previous shards are copied at the beginning. The caller computes those that are
    `missing`, in any order, and hands each in once, by `write`, `put` or `fail`; then `finish`.
    Unless it was called, nothing is left at the end of the `with` block. For one thread at a time.

    Attributes:
        task: that is made.
        missing: rows to compute, in the order of the task.
        numerics: class of the shards: that of the process, with what decides their samples.
    """

    def __init__(
        self,
        task: ShardTask,
        maker: ShardMaker[Sink],
        advance: Advance,
        opened: OpenedShards | None = None,
    ) -> None:
        """Open the shards and copy what is there.

        Args:
            task: to make.
            maker: knows how rows are stored.
            advance: told the seconds of audio done.
            opened: keeps previous shards open for other tasks.
        """
        self.task = task
        self.numerics = task_numerics(maker.numerics, task.rows, maker.extractor.framing)
        self._maker = maker
        self._advance = advance
        self._specs = {
            name: replace(spec, numerics=self.numerics) for name, spec in maker.specs.items()
        }
        self._began = time.perf_counter()
        self._failures = list(task.failed)
        self._sinks: dict[str, Sink] = {}
        self._previous = PreviousRows(task, self._specs, opened)
        failed = {failure.id for failure in task.failed}
        self._rows = [row for row in task.rows if row.id not in failed]
        self.missing: list[Utterance] = [row for row in self._rows if row.id not in self._previous]
        self._as_before = self._shards_without(self.missing)
        self._num_joined = 0
        try:
            for name in task.names:
                self._sinks[name] = maker.open_sink(task, name, self._specs[name])
                for utterance_id in failed:
                    self._sinks[name].discard(utterance_id)
            if not self._as_before:
                self.missing = self._copied()
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> Self:
        """Return the shards."""
        return self

    def __exit__(self, *_: object) -> None:
        """Drop what was not finished."""
        self.abort()

    def write(self, row: Utterance, pieces: Iterator[Features]) -> None:
        """Take the features of a missing row, or its failure where they raise an AudioError.

        Args:
            row: that is missing.
            pieces: consecutive pieces of its features.

        Raises:
            FeatbankError: the whole corpus is gone.
        """
        try:
            self._maker.write_row(row, pieces, self._sinks)
        except AudioError as error:
            self.fail(row, error)
        else:
            self._advance(row.duration_s)

    def put(self, row: Utterance, values: Mapping[str, Encoded]) -> None:
        """Take a missing row as it is stored, by the names of the shards."""
        self._store(row, values)
        self._advance(row.duration_s)

    def fail(self, row: Utterance, error: AudioError) -> None:
        """Take note that a missing row cannot be computed.

        Raises:
            FeatbankError: the whole corpus is gone.
        """
        root = self._maker.audio_root
        if error.kind == "missing" and not is_there(any_path(root)):
            raise FeatbankError(
                f"corpus root {root}",
                expected="a folder",
                got="nothing there",
                hint="mount the disk, or set corpus.root=...; what is finished is kept",
            ) from error
        self._failures.append(Failure.of(error, id=row.id, audio=row.audio, root=root))
        for sink in self._sinks.values():
            sink.discard(row.id)
        tell(failures=1)
        self._advance(row.duration_s)

    def finish(self) -> ShardResult:
        """Close the shards and note in the work folder that they are made.

        Raises:
            StoreError: a missing row was not handed in, or the disk is full.
        """
        if self._as_before and len(self._failures) == len(self.missing) + len(self.task.failed):
            self.abort()
            result = self._taken_over(self._as_before)
        else:
            if self._as_before:
                self._copied()
            result = self._closed()
        write_result(self.task, result)
        return result

    def abort(self) -> None:
        """Drop the shards unless they are finished."""
        for sink in self._sinks.values():
            sink.abort()

    def _copied(self) -> list[Utterance]:
        """Copy the rows that are there; return those that are not, or are damaged."""
        missing = []
        for row in self._rows:
            if found := self._previous.find(row):
                self._store(row, found)
                if self._previous.is_interim(row):  # the task that computed it has told
                    self._num_joined += 1
                else:
                    tell(reused=row.duration_s)
                    self._advance(row.duration_s)
            else:
                missing.append(row)
        return missing

    def _store(self, row: Utterance, values: Mapping[str, Encoded]) -> None:
        for name, sink in self._sinks.items():
            sink.write(row.id, values[name])

    def _shards_without(self, missing: Sequence[Utterance]) -> dict[str, Source]:
        """Find previous shards that lack only rows that failed then: for if they fail again."""
        if not missing or not all(row.id in self.task.failed_before for row in missing):
            return {}
        found = {}
        failed = {row.id for row in missing} | {failure.id for failure in self.task.failed}
        for name, shard in self._names(failed).items():
            source = self._previous.whole(name, shard)
            if source is None:
                return {}
            found[name] = source
        return found

    def _taken_over(self, sources: Mapping[str, Source]) -> ShardResult:
        """Return previous shards as those of this task."""
        shards = {}
        for name, (path, info) in sources.items():
            shards[name] = replace(info, part=self.task.rows[0].part)
            target = shard_path(self.task.work, self.numerics, name, info.name)
            if not (target.exists() and target.samefile(path)):
                put(path, target)
        kept = self._kept()
        kept_s = sum(row.duration_s for row in kept)
        tell(reused=kept_s)
        self._advance(kept_s)
        return self._result(shards, Tally(num_kept=len(kept), num_shards_kept=len(shards)))

    def _closed(self) -> ShardResult:
        closed = {name: sink.close() for name, sink in self._sinks.items()}
        failed = {failure.id for failure in self._failures}
        names = self._names(failed)
        shards = {
            name: self._named(info, name, names[name]) for name, info in closed.items() if info
        }
        return self._result(
            shards,
            Tally(
                num_computed=len(self.missing) - len(failed) + len(self.task.failed),
                num_copied=len(self._rows) - len(self.missing) - self._num_joined,
                num_shards_written=0 if self.task.is_interim else len(shards),
                computed_s=sum(row.duration_s for row in self.missing if row.id not in failed),
            ),
        )

    def _result(self, shards: Mapping[str, ShardInfo], tally: Tally) -> ShardResult:
        return ShardResult(
            key=self.task.key,
            is_interim=self.task.is_interim,
            split=self.task.split,
            shards=shards,
            failures=tuple(self._failures),
            numerics=self.numerics,
            tally=tally,
            audio_s=sum(row.duration_s for row in self._kept()),
            wall_s=time.perf_counter() - self._began,
        )

    def _kept(self) -> list[Utterance]:
        """Return the rows that did not fail."""
        failed = {failure.id for failure in self._failures}
        return [row for row in self.task.rows if row.id not in failed]

    def _named(self, info: ShardInfo, name: str, shard: str) -> ShardInfo:
        """Give a finished shard its final name."""
        if info.name != shard:
            planned = shard_path(self.task.work, self.numerics, name, info.name)
            planned.replace(planned.with_name(shard))
        return replace(info, name=shard, part=self.task.rows[0].part)

    def _names(self, failed: set[str]) -> Mapping[str, str]:
        """Return what the shards are called: after a failure, not as they were planned."""
        if not failed:
            return self.task.names
        kept = [row for row in self.task.rows if row.id not in failed]
        ids, digests = [row.id for row in kept], [row.input_digest for row in kept]
        return {
            name: shard_name(self._specs[name].fingerprint, ids, digests)
            for name in self.task.names
        }
