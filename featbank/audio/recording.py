"""An utterance read block by block: memory is bounded, however long it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from featbank.audio import ReadPatience, read_segment, resampled_length
from featbank.base.speeds import played_rate
from featbank.errors import FeatbankError

Waveform = NDArray[np.float32]


class Recording:
    """An utterance at its extractor's sample rate, read in blocks and as often as needed.

    The samples are those that `audio.load_audio` gives, bit for bit. A read that the machine failed
    is tried again, for half a minute.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        sample_rate: int,
        num_samples: int,
        start_sample: int = 0,
        channel: int = 0,
        target_rate: int,
        speed: float = 1.0,
        digest: str = "",
    ) -> None:
        """Describe what to read; nothing is opened yet.

        Args:
            path: of the file.
            sample_rate: that the file is expected to have, in Hz.
            num_samples: length of the utterance, at the file's rate.
            start_sample: where it begins in the file.
            channel: index from 0, or `MIX_CHANNELS` for the mean of all.
            target_rate: rate of the blocks.
            speed: that it is played at, as of `audio.load_audio`.
            digest: that the file is expected to have; empty takes any.
        """
        self._path = path
        self._sample_rate = sample_rate
        self._file_samples = num_samples
        self._start_sample = start_sample
        self._channel = channel
        self._played_rate = played_rate(sample_rate, speed)
        self._target_rate = target_rate
        self._digest = digest

    @property
    def num_samples(self) -> int:
        """The length at `target_rate`."""
        return resampled_length(self._file_samples, self._played_rate, self._target_rate)

    def blocks(self, num_samples_per_block: int) -> Iterator[Waveform]:
        """Read the waveform from its start; each call begins anew.

        Args:
            num_samples_per_block: at `target_rate`; the last block holds what is left.

        Yields:
            (n,) float32, together `num_samples` samples.

        Raises:
            AudioError, FeatbankError, OSError: as `audio.load_audio` does, but an error may come
                after the first blocks.
        """
        waveform = self._of_the_file()
        if self._target_rate != self._played_rate:
            waveform = self._resampled(waveform)
        return _regroup(waveform, num_samples_per_block)

    def _of_the_file(self) -> Iterator[Waveform]:
        """Read the samples at the file's own rate, patiently."""
        patience = ReadPatience(self._path)
        num_given = 0
        while True:
            # from the start: in a lossy file a decoder set down elsewhere gives other last bits
            blocks = read_segment(
                self._path,
                sample_rate=self._sample_rate,
                num_samples=self._file_samples,
                start_sample=self._start_sample,
                channel=self._channel,
                digest=self._digest,
            )
            try:
                for block in _behind(num_given, blocks):
                    num_given += len(block)
                    yield block
            except OSError as error:
                patience.wait(error)
            else:
                return

    def _resampled(self, waveform: Iterable[Waveform]) -> Iterator[Waveform]:
        """Resample block by block: libsoxr's state goes on, so that the blocks leave no trace."""
        stream = soxr.ResampleStream(self._played_rate, self._target_rate, 1, quality="HQ")
        read = given = 0
        for block in waveform:
            read += len(block)
            resampled = stream.resample_chunk(block, last=read == self._file_samples)
            given += len(resampled)
            yield resampled
        if given != self.num_samples:
            raise FeatbankError(
                f"{read} samples resampled from {self._played_rate} to {self._target_rate} Hz",
                expected=f"{self.num_samples} samples",
                got=given,
                hint="this soxr has another rule for lengths; install the locked one",
            )


def _behind(num_samples: int, blocks: Iterable[Waveform]) -> Iterator[Waveform]:
    """Leave out the first samples."""
    for block in blocks:
        if num_samples < len(block):
            yield block[num_samples:]
        num_samples = max(0, num_samples - len(block))


def _regroup(blocks: Iterable[Waveform], size: int) -> Iterator[Waveform]:
    """Cut what comes in blocks of any length into blocks of `size` samples and a last one."""
    held: list[Waveform] = []
    num_held = 0
    for block in blocks:
        held.append(block)
        num_held += len(block)
        if num_held < size:
            continue
        joined = np.concatenate(held)
        num_whole = num_held - num_held % size
        yield from np.split(joined[:num_whole], range(size, num_whole, size))
        held, num_held = [joined[num_whole:]], num_held % size
    if num_held:
        yield np.concatenate(held)
