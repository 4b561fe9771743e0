"""A worker of a run: it loads an extractor once, and makes the shards of one task after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Generic

from featbank.audio import close_passes
from featbank.base.manifest import Utterance
from featbank.base.progress import Advance
from featbank.engine.definition import ExtractorRecipe
from featbank.engine.making import ShardInMaking, Sink
from featbank.engine.previous_rows import OpenedShards
from featbank.engine.rows import task_numerics
from featbank.engine.tasks import ShardResult, ShardTask, Workload
from featbank.engine.utterances import Features, UtteranceComputer
from featbank.engine.work import read_result
from featbank.store import ShardSpec


class ShardWorker(ABC, Generic[Sink]):
    """Makes shards in one process, which loads the extractor once.

    A shard is of one numerics class: rows that a machine of another class computed are not copied
    into it.

    Attributes:
        audio_root: folder that the manifests' paths are relative to.
        extractor: computes the features.
        numerics: the class of this machine; that of a task's shards says, too, what decides the
            samples of their rows.
        specs: what the rows of each shard have in common, by name; set by the subclass.
    """

    specs: Mapping[str, ShardSpec]

    def __init__(self, recipe: ExtractorRecipe) -> None:
        self._compute = UtteranceComputer(recipe)
        self.audio_root = recipe.audio_root
        self.extractor = self._compute.extractor
        self.numerics = self._compute.numerics
        self._opened = OpenedShards()

    def __call__(self, workload: Workload, advance: Advance) -> tuple[ShardResult, ...]:
        """Make the shards of each task, and note of each in the work folder that it is made."""
        try:
            return tuple(self._done(task, workload, advance) for task in workload.tasks)
        finally:
            close_passes()
            self._opened.close()

    @abstractmethod
    def open_sink(self, task: ShardTask, name: str, spec: ShardSpec) -> Sink:
        """Begin a shard of a task, of the class that `spec` states."""

    @abstractmethod
    def write_row(
        self, row: Utterance, pieces: Iterator[Features], sinks: Mapping[str, Sink]
    ) -> None:
        """Write the row that consecutive pieces of features make.

        Raises:
            AudioError: a value cannot be stored.
        """

    def _done(self, task: ShardTask, workload: Workload, advance: Advance) -> ShardResult:
        """Make the shards of a task, unless another worker did that before it died."""
        if task.is_interim and len(workload.tasks) > 1:
            here = task_numerics(self.numerics, task.rows, self.extractor.framing)
            if (result := read_result(task)) and result.numerics == here:
                advance(result.audio_s)
                return result
        return self._made(task, advance)

    def _made(self, task: ShardTask, advance: Advance) -> ShardResult:
        with ShardInMaking(task, self, advance, self._opened) as making:
            for row, pieces in self._compute(making.missing, task.split):
                making.write(row, pieces)
            return making.finish()
