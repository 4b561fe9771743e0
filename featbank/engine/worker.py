"""A worker of a run: it loads an extractor once, and makes the shards of one task after another."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import Generic

from featbank.audio import close_passes
from featbank.base.manifest import Utterance
from featbank.base.notices import tell
from featbank.base.progress import Advance
from featbank.engine.calling import Features
from featbank.engine.definition import ExtractorRecipe
from featbank.engine.device.computing import Device
from featbank.engine.device.lane import lane_to
from featbank.engine.device.line import DeviceLine
from featbank.engine.device.reduction import Reduction
from featbank.engine.making import ShardInMaking, Sink
from featbank.engine.previous_rows import OpenedShards
from featbank.engine.reading import AudioReader
from featbank.engine.rows import task_numerics
from featbank.engine.tasks import ShardResult, ShardTask, Workload
from featbank.engine.utterances import UtteranceComputer
from featbank.engine.work import read_result
from featbank.numerics import CPU
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
        computing = recipe.computing
        computing.begin()
        self.audio_root = recipe.audio_root
        self.extractor = recipe.build()
        if self.extractor.uses_device:
            if computing.device != CPU:
                tell(phase=f"moving the model to {computing.device}")
            self.extractor.to(computing.device)
        self.numerics = computing.numerics()
        self._computing = computing
        framing, limit = self.extractor.framing, self.extractor.max_samples
        self._reader = AudioReader(recipe.audio_root, framing, limit)
        self._compute = UtteranceComputer(self.extractor, self._reader, computing.decoders)
        self._opened = OpenedShards()

    def __call__(self, workload: Workload, advance: Advance) -> tuple[ShardResult, ...]:
        """Make the shards of each task, and note of each in the work folder that it is made."""
        try:
            if self._line is not None:
                return self._line(workload, partial(self._begin, workload, _in_turn(advance)))
            every = (*workload.beside, *workload.tasks)
            return tuple(self._finished(self._begin(workload, advance, task)) for task in every)
        finally:
            close_passes()
            self._opened.close()

    @cached_property
    def _line(self) -> DeviceLine | None:
        """The line of a worker that has a device, or computes utterances together without one."""
        computing, extractor = self._computing, self.extractor
        if computing.device == CPU and not computing.seconds_together:
            return None
        device = Device(
            extractor=extractor,
            seconds_together=computing.seconds_together,
            reduction=self.reduction(),
            lane=lane_to(computing.device),
        )
        return DeviceLine(device, self._reader, computing.decoders)

    @abstractmethod
    def reduction(self) -> Reduction:
        """Return what reduces batches on the device to rows as `open_sink` takes them."""

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

    def _begin(
        self, workload: Workload, advance: Advance, task: ShardTask
    ) -> ShardInMaking[Sink] | ShardResult:
        """Begin to make the shards of a task, unless another worker did that before it died."""
        if task.is_interim and len(workload.tasks) > 1:
            here = task_numerics(self.numerics, task.rows, self.extractor.framing)
            if (result := read_result(task)) and result.numerics == here:
                tell(reused=result.audio_s, failures=len(result.failures))
                advance(result.audio_s)
                return result
        return ShardInMaking(task, self, advance, self._opened)

    def _finished(self, begun: ShardInMaking[Sink] | ShardResult) -> ShardResult:
        """Compute what shards lack, one utterance after the other."""
        if isinstance(begun, ShardResult):
            return begun
        with begun as making:
            for row, pieces in self._compute(making.missing, making.task.split):
                making.write(row, pieces)
            return making.finish()


def _in_turn(advance: Advance) -> Advance:
    """Let several threads tell of progress."""
    lock = threading.Lock()

    def told(seconds: float) -> None:
        with lock:
            advance(seconds)

    return told
