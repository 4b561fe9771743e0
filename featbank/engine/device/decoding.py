"""Decode the audio of batches ahead of the computing, in several threads, into reused memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from featbank.base.framing import Framing
from featbank.base.manifest import Utterance
from featbank.engine.batching import batches
from featbank.engine.device.memory import Block
from featbank.engine.device.thread_group import Channel, ThreadGroup
from featbank.engine.making import ShardInMaking
from featbank.engine.reading import Audio, AudioReader
from featbank.errors import AudioError
from featbank.features.shapes import BatchShape

Making = ShardInMaking[Any]


class Input:
    """A batch on its way to the device: rows of one shape, or one utterance that has none.

    Attributes:
        making: the shards that the rows are of.
        rows: of the batch.
        shape: None for an utterance that is computed alone and unpadded.
        audio: of each row: a waveform, a recording, or why there is none. Where there is a shape
            it is a part of `waveforms`.
        waveforms: (rows, samples) float32, silence behind each end and in rows without an
            utterance; where there is a shape.
        lengths: (2, rows) int64, samples and frames of each; all of them in a row without an
            utterance.
        block: memory of both.
    """

    def __init__(
        self,
        making: Making,
        rows: Sequence[Utterance],
        shape: BatchShape | None,
        framing: Framing,
        block: Block,
    ) -> None:
        self.making, self.rows, self.shape, self.block = making, rows, shape, block
        self.audio: list[Audio | AudioError | None] = [None] * len(rows)
        self._framing = framing
        if shape is not None:
            self.waveforms, self.lengths = block.input_of(shape)
            self._samples, self._counts = self.waveforms.numpy(), self.lengths.numpy()
            self._counts[0] = shape.samples
            self._counts[1] = framing.num_frames(shape.samples)

    @property
    def good(self) -> list[int]:
        """The rows that can be computed."""
        return [row for row, one in enumerate(self.audio) if not isinstance(one, AudioError)]

    def waveform(self, row: int) -> NDArray[np.float32]:
        """Return the waveform of a row that can be computed."""
        audio = self.audio[row]
        assert isinstance(audio, np.ndarray)
        return audio

    def full_lengths(self) -> torch.Tensor:
        """Return the lengths (2, rows) of rows without an utterance."""
        rows, samples = self.waveforms.shape
        full = torch.tensor([samples, self._framing.num_frames(samples)])
        return full.unsqueeze(1).repeat(1, rows)

    def num_frames(self, row: int) -> int:
        """Return the number of frames of a row."""
        return int(self._counts[1, row])

    def room(self, row: int) -> NDArray[np.float32] | None:
        """Return where the waveform of a row belongs, or None: it is kept as it is."""
        return None if self.shape is None else self._samples[row]

    def take(self, row: int, audio: Audio | AudioError) -> None:
        """Take the audio of a row, which may be there already."""
        self.audio[row] = audio
        if self.shape is None:
            return
        if isinstance(audio, np.ndarray):
            length = len(audio)
            if not np.may_share_memory(audio, self._samples[row]):
                self._samples[row, :length] = audio
            self._samples[row, length:] = 0
            self._counts[:, row] = length, self._framing.num_frames(length)
            self.audio[row] = self._samples[row, :length]
        else:
            self._samples[row] = 0

    def leave(self, rows: Iterable[int]) -> None:
        """Have rows hold no utterance."""
        for row in rows:
            self._samples[row] = 0


class Decoding:
    """Reads batches in their order, each in as many threads as there are.

    Args:
        group: of the threads.
        reader: of the audio.
        framing: of the extractor.
        shape_of: an utterance's batch shape.
        blocks: of memory; with as many batches at most it is ahead of who computes.
    """

    def __init__(
        self,
        group: ThreadGroup,
        reader: AudioReader,
        framing: Framing,
        shape_of: Callable[[Utterance], BatchShape | None],
        blocks: Iterable[Block],
    ) -> None:
        self._group = group
        self._reader = reader
        self._framing = framing
        self._shape_of = shape_of
        self._free: Channel[Block] = Channel(group)
        for block in blocks:
            self._free.put(block)
        self._jobs: Channel[tuple[Input, Sequence[int]]] = Channel(group)
        self._begun: Channel[Input | Making] = Channel(group)
        self._left: dict[int, int] = {}  # jobs of a batch, by its id
        self._is_read = group.condition()

    def plan(self, makings: Iterable[Making]) -> None:
        """Give the threads their work: the batches of each shard, and behind them the shard."""
        for making in makings:
            # files that cannot seek are decoded once if their segments are read one by one
            rows = sorted(making.missing, key=lambda row: (row.audio, row.start_sample))
            for shape, batch in batches(rows, self._shape_of):
                read = Input(making, batch, shape, self._framing, self._free.get())
                jobs = [*_by_file(batch)]
                if shape is not None and len(batch) < shape.rows:
                    jobs.append(range(len(batch), shape.rows))
                self._left[id(read)] = len(jobs)
                self._begun.put(read)
                for job in jobs:
                    self._jobs.put((read, job))
            self._begun.put(making)
        self._begun.end()
        self._jobs.end()

    def decode(self) -> None:
        """Do the work of one thread."""
        for read, job in self._jobs:
            for row in job:
                if row < len(read.rows):
                    read.take(row, self._audio_of(read.rows[row], read.room(row)))
                else:
                    read.leave([row])
            with self._is_read:
                self._left[id(read)] -= 1
                if not self._left[id(read)]:
                    self._is_read.notify()

    def __iter__(self) -> Iterator[Input | Making]:
        """Give batches once they are read, and after those of a shard the shard."""
        for begun in self._begun:
            if isinstance(begun, Input):
                with self._is_read:
                    self._group.wait(self._is_read, partial(self._is_read_whole, begun))
                    del self._left[id(begun)]
            yield begun

    def _is_read_whole(self, read: Input) -> bool:
        return not self._left[id(read)]

    def give_back(self, block: Block) -> None:
        """Let the memory of a batch be used again."""
        self._free.put(block)

    def _audio_of(self, row: Utterance, room: NDArray[np.float32] | None) -> Audio | AudioError:
        try:
            return self._reader.read(row, room)
        except AudioError as error:
            return error


def _by_file(rows: Sequence[Utterance]) -> Iterator[range]:
    """Cut rows into the runs of one file, which one thread reads."""
    start = 0
    for _, run in groupby(rows, key=lambda row: row.audio):
        stop = start + len(list(run))
        yield range(start, stop)
        start = stop
