"""Compute batches on the device, and reduce them there to what is stored.

What is done here waits neither for the device nor for the disk: of each batch it leaves some steps
to another thread, which waits for the device and hands the rows to the shards in making.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from featbank.audio.recording import Recording
from featbank.engine.calling import Caller, Features, enough_memory
from featbank.engine.device.decoding import Input
from featbank.engine.device.lane import Lane
from featbank.engine.device.memory import Block
from featbank.engine.device.narrowing import as_floats
from featbank.engine.device.pieces import AHEAD, Pieces
from featbank.engine.device.read_ahead import ReadAhead
from featbank.engine.device.reduction import Batch, Reduced, Reduction
from featbank.engine.device.thread_group import Channel, ThreadGroup
from featbank.errors import AudioError, FeatbankError
from featbank.features.base import Extractor

Step = Callable[[], None]
"""Part of a batch's way from the device to the shards; may wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device with an extractor on it.

    Args:
        extractor: on the device.
        seconds_together: of audio in a batch; 0 for each utterance alone.
        reduction: of batches, to what is stored.
        lane: to the device.
    """

    extractor: Extractor
    seconds_together: float
    reduction: Reduction
    lane: Lane


class DeviceComputer:
    """Computes batches, one after the other, in one thread.

    Args:
        group: of this thread and the one that does the steps that are left.
        device: that computes.
        outputs: memory for what comes back from a device that is behind; with as many batches at
            most it is ahead of who takes them.
        leave: given each step, in order.
    """

    def __init__(
        self,
        group: ThreadGroup,
        device: Device,
        outputs: Iterable[Block],
        leave: Callable[[Step], None],
    ) -> None:
        self._device = device
        self._in_batches = device.extractor.batches
        sample_rate = device.extractor.framing.sample_rate
        self._call = Caller(device.extractor, round(device.seconds_together * sample_rate))
        self._leave = leave
        self._pieces: Channel[Features | AudioError | None] = Channel(group, AHEAD)
        self._outputs: Channel[Block] = Channel(group)
        for block in outputs:
            self._outputs.put(block)

    def __call__(self, read: Input) -> None:
        """Compute a batch; its rows that could not be read fail.

        Raises:
            FeatbankError: the extractor breaks its promise, or the GPU has too little memory.
        """
        for row, audio in enumerate(read.audio):
            if isinstance(audio, AudioError):
                self._leave(partial(read.making.fail, read.rows[row], audio))
        good = read.good
        if not good:
            return
        first = read.audio[good[0]]
        if isinstance(first, Recording):
            self._compute_pieces(read, first)
        elif read.shape is None or not self._in_batches:
            self._compute_arrays(read, good)
        else:
            self._compute_batch(read, good)

    def _compute_pieces(self, read: Input, recording: Recording) -> None:
        [row] = read.rows
        pieces = Pieces(self._pieces)

        def take() -> None:
            read.making.write(row, iter(pieces))
            pieces.close()

        self._leave(take)
        ahead = ReadAhead(recording)
        pieces.send(self._call.pieces(row, ahead, read.making.task.split))

    def _compute_arrays(self, read: Input, good: Sequence[int]) -> None:
        """Compute a batch, or an utterance alone, of which the extractor gives arrays."""
        waveforms = [read.waveform(row) for row in good]
        rows = [read.rows[row] for row in good]
        computed = self._call.each(rows, waveforms, read.shape, read.making.task.split)
        for row, features in zip(rows, computed, strict=True):
            if isinstance(features, AudioError):
                self._leave(partial(read.making.fail, row, features))
            else:
                self._leave(partial(read.making.write, row, iter([features])))

    def _compute_batch(self, read: Input, good: Sequence[int]) -> None:
        rows, samples = read.waveforms.shape
        with enough_memory(f"{rows} x {samples} samples"):
            waveforms, lengths = self._device.lane.send([read.waveforms, read.lengths])
        try:
            batch = self._computed(waveforms, lengths, read)
        except AudioError as error:
            if len(good) == 1:
                self._leave(partial(read.making.fail, read.rows[good[0]], error))
                return
        else:
            self._reduce(batch, lengths[1], read, {row: row for row in good})
            return
        self._compute_each(waveforms, lengths, read, good)

    def _compute_each(
        self, waveforms: torch.Tensor, lengths: torch.Tensor, read: Input, good: Sequence[int]
    ) -> None:
        """Compute each row in a batch of the same shape, for one of them cannot be computed."""
        for row in good:
            alone, counts = torch.zeros_like(waveforms), read.full_lengths().to(lengths.device)
            alone[0], counts[:, 0] = waveforms[row], lengths[:, row]
            try:
                batch = self._computed(alone, counts, read)
            except AudioError as error:
                self._leave(partial(read.making.fail, read.rows[row], error))
            else:
                self._reduce(batch, counts[1], read, {row: 0})

    def _computed(self, waveforms: torch.Tensor, lengths: torch.Tensor, read: Input) -> Batch:
        rows, samples = waveforms.shape
        extractor = self._device.extractor
        with enough_memory(f"{rows} x {samples} samples"), torch.inference_mode():
            batch = extractor.compute_batch(waveforms, lengths[0])
        return {name: self._as_promised(batch[name], name, read) for name in extractor.outputs}

    def _as_promised(self, values: torch.Tensor, name: str, read: Input) -> torch.Tensor:
        """Return a feature as (rows, T, *shape), once it is what the extractor promises."""
        output, framing = self._device.extractor.outputs[name], self._device.extractor.framing
        rows, samples = read.waveforms.shape
        longest = max(map(read.num_frames, read.good))
        wanted = [rows, *output.shape] if framing.is_whole else [rows, longest, *output.shape]
        is_long = not framing.is_whole and values.ndim == len(wanted) and values.shape[1] > longest
        if list(values[:, :longest].shape if is_long else values.shape) != wanted:
            raise FeatbankError(
                f"feature {name!r} of a batch of {rows} x {samples} samples",
                expected=" x ".join(map(str, wanted))
                + ("" if framing.is_whole else ", or more frames"),
                got=" x ".join(map(str, values.shape)),
            )
        if output.is_codes == values.is_floating_point():
            raise FeatbankError(
                f"feature {name!r} of a batch",
                expected="integers, since it is codes" if output.is_codes else "floats",
                got=values.dtype,
            )
        return values.unsqueeze(1) if framing.is_whole else values

    def _reduce(
        self, batch: Batch, num_frames: torch.Tensor, read: Input, places: Mapping[int, int]
    ) -> None:
        """Reduce a batch where the device is behind, else leave that to the next thread, too.

        Args:
            batch: features by name.
            num_frames: of each of its rows, on the device.
            read: what it was computed from.
            places: of the rows that are wanted, in the batch.
        """
        lane, reduction = self._device.lane, self._device.reduction
        if not lane.is_behind:
            self._leave(partial(self._reduce_rows, batch, read, places))
            return
        output = self._outputs.get()
        with enough_memory(f"what is stored of {len(num_frames)} rows"), torch.inference_mode():
            longest = max(values.shape[1] for values in batch.values())
            valid = torch.arange(longest, device=num_frames.device) < num_frames.unsqueeze(1)
            reduced = reduction.reduce(batch, valid)
        leaving, wait = lane.fetch(list(reduced.leaving.values()), output.first)

        def take() -> None:
            wait()
            here = reduced.to_host(leaving)
            for row, place in places.items():
                self._take(here, place, batch, read, row)
            self._outputs.put(output)

        self._leave(take)

    def _reduce_rows(self, batch: Batch, read: Input, places: Mapping[int, int]) -> None:
        """Reduce row by row, without what is behind its end, and within the processor's cache."""
        for row, place in places.items():
            num_frames = read.num_frames(row)
            with torch.inference_mode():
                own = {
                    name: values[place : place + 1, :num_frames] for name, values in batch.items()
                }
                reduced = self._device.reduction.reduce(own, None)
            self._take(reduced, 0, own, read, row)

    def _take(self, reduced: Reduced, place: int, batch: Batch, read: Input, row: int) -> None:
        """Hand a row to the shards in making."""
        utterance, num_frames = read.rows[row], read.num_frames(row)
        aside = self._device.lane.aside()
        encoded = self._device.reduction.row(reduced, place, num_frames, aside)
        if encoded is not None:
            read.making.put(utterance, encoded)
            return
        # as they were computed: who encodes them, as on the CPU, says what is wrong with them
        is_whole = self._device.extractor.framing.is_whole
        with self._device.lane.aside():
            features = {
                name: as_floats(values[place, 0] if is_whole else values[place, :num_frames])
                for name, values in batch.items()
            }
        read.making.write(utterance, iter([features]))
