"""Make a shard: copy rows from previous shards, compute the others, and write the file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from featbank.audio import close_passes
from featbank.base.failures import Failure
from featbank.base.manifest import Utterance
from featbank.base.progress import Advance
from featbank.engine.definition import ExtractorRecipe
from featbank.engine.previous import PreviousRows
from featbank.engine.rows import task_numerics
from featbank.engine.tasks import ShardResult, ShardTask, Tally
from featbank.engine.utterances import Features, UtteranceComputer
from featbank.engine.work import put, shard_path, write_result
from featbank.errors import AudioError, FeatbankError
from featbank.store import Encoded, ShardInfo, ShardSpec, shard_name


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


class ShardWorker(ABC, Generic[Sink]):
    """Makes shards in one process, which loads the extractor once.

    A shard is of one numerics class: rows that a machine of another class computed are not copied
    into it.

    Attributes:
        extractor: computes the features.
        numerics: the class of this machine, and in a task that of its shards: what decides the
            samples of their rows is part of it.
        specs: what the rows of each shard have in common, by name; set by the subclass.
    """

    specs: Mapping[str, ShardSpec]

    def __init__(self, recipe: ExtractorRecipe) -> None:
        self._compute = UtteranceComputer(recipe)
        self._audio_root = recipe.audio_root
        self.extractor = self._compute.extractor
        self.numerics = self._compute.numerics

    def __call__(self, task: ShardTask, advance: Advance) -> ShardResult:
        """Make the shards of one task, and note in the work folder that they are made."""
        self._begin(task)
        previous = PreviousRows(task, self.specs)
        try:
            result = self._as_before(task, previous, advance) or self._made(task, previous, advance)
        finally:
            close_passes()
        write_result(task, result)
        return result

    def _begin(self, task: ShardTask) -> None:
        """Be of the numerics class of a task's shards."""
        self.numerics = task_numerics(self.numerics, task.rows, self.extractor.framing)
        self.specs = {
            name: replace(spec, numerics=self.numerics) for name, spec in self.specs.items()
        }

    @abstractmethod
    def _open(self, task: ShardTask, name: str) -> Sink:
        """Begin a shard."""

    @abstractmethod
    def _write(self, row: Utterance, pieces: Iterator[Features], sinks: Mapping[str, Sink]) -> None:
        """Write the row that consecutive pieces of features make; to no sink, only compute it.

        Raises:
            AudioError: a value cannot be stored.
        """

    def _made(self, task: ShardTask, previous: PreviousRows, advance: Advance) -> ShardResult:
        failures: list[Failure] = []
        with ExitStack() as stack:
            sinks: dict[str, Sink] = {}
            for name in task.names:
                sinks[name] = self._open(task, name)
                stack.callback(sinks[name].abort)
            missing = []
            for row in task.rows:
                if found := previous.find(row):
                    for name, sink in sinks.items():
                        sink.write(row.id, found[name])
                    advance(row.duration_s)
                else:
                    missing.append(row)
            for row, failure in self._computed(missing, task, sinks):
                if failure:
                    failures.append(failure)
                    for sink in sinks.values():
                        sink.discard(row.id)
                advance(row.duration_s)
            closed = {name: sink.close() for name, sink in sinks.items()}
        names = _names(task, self.specs, failures)
        shards = {
            name: self._named(info, name, names[name], task)
            for name, info in closed.items()
            if info
        }
        failed = {failure.id for failure in failures}
        return ShardResult(
            split=task.split,
            shards=shards,
            failures=tuple(failures),
            numerics=self.numerics,
            tally=Tally(
                num_computed=len(missing) - len(failures),
                num_copied=len(task.rows) - len(missing),
                num_shards_written=len(shards),
                computed_s=sum(row.duration_s for row in missing if row.id not in failed),
            ),
        )

    def _as_before(
        self, task: ShardTask, previous: PreviousRows, advance: Advance
    ) -> ShardResult | None:
        """Take over a previous shard when all it lacks is what failed then, and fails again."""
        missing = [row for row in task.rows if row.id not in previous]
        if not missing or not all(row.id in task.failed_before for row in missing):
            return None
        failures = [failure for _, failure in self._computed(missing, task, {}) if failure]
        names = _names(task, self.specs, failures)
        infos = {name: previous.whole(name, names[name]) for name in names}
        if len(failures) < len(missing) or not all(infos.values()):
            return None
        shards = {}
        for name, found in infos.items():
            assert found is not None
            path, info = found
            shards[name] = replace(info, part=task.rows[0].part)
            target = shard_path(task.work, self.numerics, name, names[name])
            if not (target.exists() and target.samefile(path)):
                put(path, target)
        advance(sum(row.duration_s for row in task.rows))
        return ShardResult(
            split=task.split,
            shards=shards,
            failures=tuple(failures),
            numerics=self.numerics,
            tally=Tally(num_kept=len(task.rows) - len(failures), num_shards_kept=len(shards)),
        )

    def _named(self, info: ShardInfo, name: str, shard: str, task: ShardTask) -> ShardInfo:
        """Give a finished shard its final name."""
        if info.name != shard:
            planned = shard_path(task.work, self.numerics, name, info.name)
            planned.replace(planned.with_name(shard))
        return replace(info, name=shard, part=task.rows[0].part)

    def _computed(
        self, rows: Sequence[Utterance], task: ShardTask, sinks: Mapping[str, Sink]
    ) -> Iterator[tuple[Utterance, Failure | None]]:
        """Compute rows and write them to the sinks; give each, with what went wrong.

        Raises:
            FeatbankError: the whole corpus is gone.
        """
        for row, features in self._compute(rows, task.split):
            try:
                self._write(row, features, sinks)
            except AudioError as error:
                yield row, self._failure(row, error)
            else:
                yield row, None

    def _failure(self, row: Utterance, error: AudioError) -> Failure:
        root = self._audio_root
        if error.kind == "missing" and not Path(root).is_dir():
            raise FeatbankError(
                f"corpus root {root}",
                expected="a folder",
                got="nothing there",
                hint="mount the disk, or set corpus.root=...; what is finished is kept",
            ) from error
        return Failure.of(error, id=row.id, audio=row.audio, root=root)


def _names(
    task: ShardTask, specs: Mapping[str, ShardSpec], failures: Sequence[Failure]
) -> Mapping[str, str]:
    """Return what the shards are called: after a failure, not as they were planned."""
    if not failures:
        return task.names
    failed = {failure.id for failure in failures}
    kept = [row for row in task.rows if row.id not in failed]
    ids, digests = [row.id for row in kept], [row.input_digest for row in kept]
    return {name: shard_name(specs[name].fingerprint, ids, digests) for name in task.names}
