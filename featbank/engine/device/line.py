"""The line of a device worker: decode, copy, compute, reduce, copy back, write, all at once.

    plan -> decode (several threads) -> compute (this thread) -> write (one thread)

Between them are channels of limited length, and memory that is used again, so that what waits is
bounded: `featbank.engine.device.memory` says by what. The order of batches and of rows is that of
the plan, whatever finishes first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from featbank.base.manifest import Utterance
from featbank.engine.device.computing import Device, DeviceComputer, Step
from featbank.engine.device.crew import Channel, Crew
from featbank.engine.device.decoding import Decoding, Input, Making
from featbank.engine.device.memory import NUM_INPUTS, NUM_OUTPUTS, Block
from featbank.engine.reading import AudioReader
from featbank.engine.rows import num_samples
from featbank.engine.tasks import ShardResult, ShardTask, Workload
from featbank.features.shapes import BatchShape

_STEPS_AHEAD = 64  # of batches that have their memory
_LACKING_AHEAD = 2  # tasks whose shards are open

Begin = Callable[[ShardTask], Making | ShardResult]
"""Begins to make the shards of a task: opens them, and copies what is there; or finds them made."""


class DeviceLine:
    """Makes the shards of tasks with an extractor on a device.

    Args:
        device: that computes.
        reader: of the audio.
        num_decoders: threads that decode.
    """

    def __init__(self, device: Device, reader: AudioReader, num_decoders: int) -> None:
        self._device = device
        self._reader = reader
        self._num_decoders = num_decoders
        self._inputs = [Block(device.lane.memory) for _ in range(NUM_INPUTS)]
        self._outputs = [Block(device.lane.memory) for _ in range(NUM_OUTPUTS)]

    @property
    def memory_bytes(self) -> int:
        """Memory of the host that batches have taken so far."""
        return sum(block.num_bytes for block in (*self._inputs, *self._outputs))

    def __call__(self, workload: Workload, begin: Begin) -> tuple[ShardResult, ...]:
        """Make the shards of a workload's tasks, each finished alone.

        A task that copies rows from other shards is begun in a thread beside the others, so that
        the device need not wait for the disk; what it lacks is computed behind the others.

        Raises:
            FeatbankError: what the making of shards raises, in whichever thread. Shards that are
                not finished are dropped.
        """
        shards = _Shards((*workload.tasks, *workload.beside), begin)
        try:
            with Crew() as crew:
                self._run(crew, shards)
        finally:
            shards.abort()
        return shards.results

    def _run(self, crew: Crew, shards: _Shards) -> None:
        framing = self._device.extractor.framing
        decoding = Decoding(crew, self._reader, framing, self._shape_of, self._inputs)
        steps: Channel[Step] = Channel(crew, _STEPS_AHEAD)
        written: Channel[bool] = Channel(crew)
        lacking: Channel[Making] = Channel(crew, _LACKING_AHEAD)

        def copy() -> None:
            for making in shards.begun(copying=True):
                if making.missing:
                    lacking.put(making)
                else:
                    shards.finish(making)
            lacking.end()

        def write() -> None:
            for step in steps:
                step()
            written.put(True)

        crew.start(copy, "copy")
        crew.start(lambda: decoding.plan(chain(shards.begun(copying=False), lacking)), "plan")
        for _ in range(self._num_decoders):
            crew.start(decoding.decode, "decode")
        crew.start(write, "write")
        compute = DeviceComputer(crew, self._device, self._outputs, steps.put)
        for read in decoding:
            if isinstance(read, Input):
                compute(read)
                steps.put(partial(decoding.give_back, read.block))
            else:
                steps.put(partial(shards.finish, read))
        steps.end()
        written.get()

    def _shape_of(self, row: Utterance) -> BatchShape | None:
        """Return the shape that an utterance is computed in; None for alone and unpadded."""
        extractor = self._device.extractor
        limit, length = extractor.max_samples, num_samples(row, extractor.framing)
        if not self._device.batch_samples or (limit is not None and length > limit):
            return None
        return extractor.batch_shape(length, self._device.batch_samples)


class _Shards:
    """The shards of some tasks, from the beginning of each to its result.

    Args:
        tasks: whose shards are made.
        begin: to make them.
    """

    def __init__(self, tasks: Sequence[ShardTask], begin: Begin) -> None:
        self._tasks = tasks
        self._begin = begin
        self._open: dict[Making, int] = {}
        self._results: dict[int, ShardResult] = {}
        self._finished = time.perf_counter()

    @property
    def results(self) -> tuple[ShardResult, ...]:
        """The results, in the order of the tasks, once all are finished."""
        return tuple(self._results[number] for number in range(len(self._tasks)))

    def begun(self, *, copying: bool) -> Iterator[Making]:
        """Begin one task after the other, of those that copy rows or of those that do not."""
        for number, task in enumerate(self._tasks):
            if bool(task.sources or task.interim) != copying:
                continue
            begun = self._begin(task)
            if isinstance(begun, ShardResult):
                self._results[number] = begun
            else:
                self._open[begun] = number
                yield begun

    def finish(self, making: Making) -> None:
        """Finish the shards of a task, which took the time since those before it."""
        result, now = making.finish(), time.perf_counter()
        took_s, self._finished = now - self._finished, now
        self._results[self._open.pop(making)] = replace(result, wall_s=min(result.wall_s, took_s))

    def abort(self) -> None:
        """Drop what was not finished."""
        for making in self._open:
            making.abort()
