"""Reading of single utterances from audio files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featbank.audio.containers import open_container
from featbank.audio.decoding import AudioFile, go_to
from featbank.audio.digests import check_digest
from featbank.audio.flac_md5 import FlacMd5
from featbank.audio.inside import file_on_disk
from featbank.audio.passes import open_segment
from featbank.audio.resampling import resample
from featbank.audio.sndfile import SndFile
from featbank.base.manifest import MIX_CHANNELS
from featbank.base.speeds import played_rate
from featbank.errors import AudioError

DECODE_VERSION = 2
"""Bumped by whoever changes the values that `load_audio` gives."""

_BLOCK = 1 << 20  # samples; an utterance of over a minute at 16 kHz is put together from several


def load_audio(
    path: str | Path,
    *,
    sample_rate: int,
    num_samples: int,
    start_sample: int = 0,
    channel: int = 0,
    target_rate: int | None = None,
    speed: float = 1.0,
    digest: str = "",
    room: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Read one utterance as a waveform.

    Args:
        path: of the file.
        sample_rate: that the file is expected to have, in Hz.
        num_samples: length of the utterance, at the file's rate.
        start_sample: where it begins in the file.
        channel: index from 0, or `MIX_CHANNELS` for the mean of all.
        target_rate: rate of the result; None keeps the file's.
        speed: that it is played at: the samples are resampled from `played_rate` of the file's rate
            and it, once.
        digest: that the file is expected to have, as `audio_digest` gives it; empty takes any.
        room: (n,) that the samples may be read to, where they are not resampled; the result is its
            beginning then. After an error it holds anything.

    Returns:
        (resampled_length(num_samples, played_rate(sample_rate, speed), target_rate),) float32.

    Raises:
        AudioError: the file is unusable, has another digest, or is not as the arguments say.
        FeatbankError: it needs ffmpeg, which is not there or was killed; or the resampler gave
            another length than its formula.
        OSError, MemoryError: the machine failed, not the file.
    """
    from_rate, target_rate = played_rate(sample_rate, speed), target_rate or sample_rate
    if target_rate != from_rate:
        room = None
    blocks = list(
        read_segment(
            path,
            sample_rate=sample_rate,
            num_samples=num_samples,
            start_sample=start_sample,
            channel=channel,
            digest=digest,
            room=room,
        )
    )
    if room is not None:
        waveform = room[:num_samples]
    else:
        waveform = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return resample(waveform, from_rate, target_rate)


def read_segment(
    path: str | Path,
    *,
    sample_rate: int,
    num_samples: int,
    start_sample: int = 0,
    channel: int = 0,
    digest: str = "",
    room: NDArray[np.float32] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Read one utterance at the file's own rate, in blocks of a million samples at most.

    Arguments and errors are those of `load_audio`; an error may come after the first blocks.

    Yields:
        (n,) float32, n over 0, together `num_samples` samples; parts of `room` where it is given.
    """
    if start_sample < 0 or num_samples < 1:
        raise AudioError(
            f"segment of {path}",
            kind="bad_segment",
            expected="a start from 0 on and at least one sample",
            got=f"{num_samples} from {start_sample} on",
        )
    begun = _written(path)
    with open_segment(path, start_sample, digest=digest) as file:
        _check_place(path, file, sample_rate, start_sample + num_samples, channel)
        go_to(file, start_sample)
        md5 = None
        if digest.startswith("md5:") and num_samples == file.frames and FlacMd5.reads(file.subtype):
            md5 = FlacMd5(file.subtype)  # the header alone was held against the digest
        done = 0
        while done < num_samples:
            wanted = min(_BLOCK, num_samples - done)
            block = _next(file, wanted, md5)
            place = None if room is None else room[done : done + len(block)]
            done += len(block)
            if len(block) < wanted:
                file.check_end()
                raise AudioError(
                    f"audio {path} is cut short",
                    kind="truncated",
                    expected=f"{num_samples} samples",
                    got=f"{done} decoded",
                )
            if md5 and done == num_samples:
                md5.check(path, digest)
            if digest and done == num_samples:
                _check_unwritten(path, digest, begun)
            waveform = _one_channel(block, channel, md5, place)
            if block.dtype == np.float32:
                check_finite(path, waveform)
            yield waveform


def _next(file: AudioFile, frames: int, md5: FlacMd5 | None) -> NDArray[Any]:
    """Read on, and tell the MD5 of the samples what was read: floats, or what is hashed."""
    block: NDArray[Any]
    if md5 and isinstance(file, SndFile):
        # as the integers that are hashed: floats would be turned back into them, at as much cost
        block = file.read(frames, dtype=md5.dtype)
    else:
        block = file.read(frames)
    if md5:
        md5.update(block)
    return block


def _written(path: str | Path) -> tuple[int, int, int] | None:
    """Return which file is there and when it was written to; None where none is found."""
    try:
        now = os.stat(file_on_disk(path))  # noqa: PTH116 - a Path costs as much as the call
    except (OSError, ValueError):
        return None
    return now.st_ino, now.st_size, now.st_mtime_ns


def _check_unwritten(path: str | Path, digest: str, begun: tuple[int, int, int] | None) -> None:
    """Refuse a file that was written to while it was read; one in its place is another matter.

    Raises:
        AudioError: it was, and is not what it was.
        OSError: the machine failed, not the file.
    """
    now = _written(path)
    if begun and now and now[0] == begun[0] and now != begun:
        file, _ = open_container(path)
        with file:
            check_digest(path, file, digest)


def _one_channel(
    block: NDArray[Any],
    channel: int,
    md5: FlacMd5 | None,
    room: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Return a channel of a block (n, channels), or the mean of all, in `room` if that is given."""
    is_mixed = channel == MIX_CHANNELS
    samples = block if is_mixed else block[:, channel]
    if block.dtype != np.float32:
        assert md5
        samples = md5.floats(samples, None if is_mixed else room)
    if is_mixed:
        mixed: NDArray[np.float32] = samples.mean(axis=1, out=room)
        return mixed
    if block.dtype != np.float32 or (room is None and block.shape[1] == 1):
        return samples
    waveform = np.empty(len(samples), np.float32) if room is None else room
    waveform[:] = samples  # a view would keep the other channels in memory
    return waveform


def check_finite(path: str | Path, samples: NDArray[np.float32]) -> None:
    """Refuse samples of which one is NaN or infinite.

    Raises:
        AudioError: with their number.
    """
    finite = np.isfinite(samples)
    if not finite.all():
        raise AudioError(
            f"audio {path}",
            kind="not_finite",
            expected="finite samples",
            got=f"{samples.size - np.count_nonzero(finite)} NaN or infinite in a block",
        )


def _check_place(
    path: str | Path, file: AudioFile, sample_rate: int, end: int, channel: int
) -> None:
    """Refuse a file that has no such samples as a manifest's row asks for."""
    if file.samplerate != sample_rate:
        raise AudioError(
            f"audio {path}",
            kind="wrong_rate",
            expected=f"{sample_rate} Hz",
            got=f"{file.samplerate} Hz",
        )
    if not MIX_CHANNELS <= channel < file.channels:
        raise AudioError(
            f"audio {path}",
            kind="wrong_channel",
            expected=f"a channel {channel}",
            got=f"{file.channels} channels",
        )
    if end > file.frames:
        raise AudioError(
            f"audio {path}",
            kind="bad_segment",
            expected=f"samples up to {end}",
            got=f"{file.frames}",
        )
