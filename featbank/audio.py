"""Audio files in, waveforms out: what a file really holds, and one utterance of it."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from featbank.containers import check_container, skip_tags
from featbank.errors import AudioError, FeatbankError
from featbank.manifest import MIX_CHANNELS
from featbank.provenance import file_sha256

DECODE_VERSION = 1
"""Bumped by whoever changes the values that `load_audio` gives."""

_BLOCK = 1 << 16
_SYSTEM_ERROR = 2  # libsndfile's SFE_SYSTEM: a call of the operating system failed
_FLAC_HEADER = 42  # "fLaC", a block header, and STREAMINFO, which ends with the MD5 of the samples
_FLAC_WIDTHS = {"PCM_S8": 1, "PCM_16": 2, "PCM_24": 3}
_PCM_DTYPES = {1: "int16", 2: "int16", 3: "int32"}  # to read samples of so many bytes

UNKNOWN_LENGTH = 2**63 - 1
"""What libsndfile counts in a FLAC that states no length: its encoder could not seek back."""

# Lossy decoders need a run-up before their values come close to those of a decoding from the start.
# One second is ample for Opus (RFC 7845 asks for 80 ms) and MP3. Decoded from their start are the
# kinds that libsndfile cannot seek in: DWVW, which it does not say, and Vorbis, where its seek into
# the last page goes astray.
_RUN_UP_S = {"OPUS": 1, "MPEG_LAYER_III": 1}
_NO_SEEK = frozenset(["VORBIS", "DWVW_12", "DWVW_16", "DWVW_24", "DWVW_N"])
# found behind tags that hide it from the container's check; nothing tells when one is cut short
_REFUSED = {"MPEG_LAYER_I": "MPEG layer I", "MPEG_LAYER_II": "MPEG layer II"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioScan:
    """What an audio file really holds.

    Args:
        sample_rate: in Hz.
        num_channels: channels of the file.
        num_samples: samples of each channel, as decoded.
        digest: of the audio; see `audio_digest`.
    """

    sample_rate: int
    num_channels: int
    num_samples: int
    digest: str

    @property
    def duration_s(self) -> float:
        """Length, in seconds."""
        return self.num_samples / self.sample_rate


def audio_digest(path: str | Path) -> str:
    """Return what stands for a file's audio: `md5:<hex>` of a FLAC's samples, else `sha256:<hex>`.

    A FLAC's header holds the MD5 of its samples, so retagging a file changes no digest, be the tags
    in it or before it. The encoder may have left it at zero; then, and for any other format, it is
    the SHA-256 of the file's bytes.

    Raises:
        AudioError: the file is missing, empty, unreadable, no audio or cut short.
        OSError: the machine failed, not the file.
    """
    check_container(path)
    with open(path, "rb") as file:
        skip_tags(file)
        head = file.read(_FLAC_HEADER)
    md5 = head[26:]
    if head.startswith(b"fLaC") and len(md5) == 16 and any(md5):
        return f"md5:{md5.hex()}"
    return f"sha256:{file_sha256(path)}"


def scan_audio(path: str | Path) -> AudioScan:
    """Decode a whole file, in blocks, and return what it holds.

    Raises:
        AudioError: the file is missing, empty, unreadable, no audio, cut short or damaged, has no
            sample, has NaN or infinite samples, or its samples are not those of its FLAC MD5.
        OSError: the machine failed, not the file.
    """
    digest = audio_digest(path)
    with open_audio(path) as file:
        width = _FLAC_WIDTHS.get(file.subtype) if digest.startswith("md5:") else None
        md5 = hashlib.md5(usedforsecurity=False)
        num_samples = 0
        for block in read_blocks(file, _PCM_DTYPES[width] if width else "float32"):
            if width:
                md5.update(_pcm_bytes(block, width))
            else:
                _check_finite(path, block)
            num_samples += len(block)
        if file.frames != UNKNOWN_LENGTH:
            _check_length(path, expected=file.frames, got=num_samples)
        scan = AudioScan(
            sample_rate=file.samplerate,
            num_channels=file.channels,
            num_samples=num_samples,
            digest=digest,
        )
    if num_samples == 0:
        raise AudioError(f"audio {path}", expected="at least one sample", got="none")
    if width and digest != (found := f"md5:{md5.hexdigest()}"):
        raise AudioError(
            f"audio {path} is damaged",
            expected=f"samples of {digest}, as its header says",
            got=found,
            hint="encode it again from its source",
        )
    return scan


def load_audio(
    path: str | Path,
    *,
    sample_rate: int,
    num_samples: int,
    start_sample: int = 0,
    channel: int = 0,
    target_rate: int | None = None,
) -> NDArray[np.float32]:
    """Read one utterance.

    Args:
        path: of the file.
        sample_rate: that the file is expected to have, in Hz.
        num_samples: length of the utterance, at the file's rate.
        start_sample: where it begins in the file.
        channel: index from 0, or `MIX_CHANNELS` for the mean of all.
        target_rate: rate of the result; None keeps the file's.

    Returns:
        (resampled_length(num_samples, sample_rate, target_rate),) float32.

    Raises:
        AudioError: the file is unusable, or is not as the arguments say.
        FeatbankError: the resampler gave another length than its formula.
        OSError: the machine failed, not the file.
    """
    [waveform] = read_segment(
        path,
        sample_rate=sample_rate,
        num_samples=num_samples,
        start_sample=start_sample,
        channel=channel,
        block_samples=num_samples,
    )
    return resample(waveform, sample_rate, target_rate or sample_rate)


def read_segment(
    path: str | Path,
    *,
    sample_rate: int,
    num_samples: int,
    start_sample: int = 0,
    channel: int = 0,
    block_samples: int = _BLOCK,
) -> Iterator[NDArray[np.float32]]:
    """Read one utterance at the file's own rate, in blocks of `block_samples` and a last one.

    Arguments and errors are those of `load_audio`; an error may come after the first blocks.

    Yields:
        (n,) float32, together `num_samples` samples.
    """
    if start_sample < 0 or num_samples < 1:
        raise AudioError(
            f"segment of {path}",
            expected="a start from 0 on and at least one sample",
            got=f"{num_samples} from {start_sample} on",
        )
    check_container(path)
    with open_audio(path) as file:
        if file.samplerate != sample_rate:
            raise AudioError(
                f"audio {path}", expected=f"{sample_rate} Hz", got=f"{file.samplerate} Hz"
            )
        if not MIX_CHANNELS <= channel < file.channels:
            raise AudioError(
                f"audio {path}", expected=f"a channel {channel}", got=f"{file.channels} channels"
            )
        if start_sample + num_samples > file.frames:
            raise AudioError(
                f"audio {path}",
                expected=f"samples up to {start_sample + num_samples}",
                got=f"{file.frames}",
            )
        go_to(file, start_sample)
        done = 0
        while done < num_samples:
            wanted = min(block_samples, num_samples - done)
            block = file.read(wanted)
            if len(block) < wanted:
                _check_length(path, expected=num_samples, got=done + len(block))
            waveform = block.mean(axis=1) if channel == MIX_CHANNELS else block[:, channel].copy()
            _check_finite(path, waveform)
            yield waveform
            done += wanted


def resample(
    waveform: NDArray[np.float32], sample_rate: int, target_rate: int
) -> NDArray[np.float32]:
    """Resample (N,) samples with soxr's high quality to exactly `resampled_length` samples.

    Raises:
        FeatbankError: soxr gave another length: its rule has changed.
    """
    if sample_rate == target_rate:
        return waveform
    resampled: NDArray[np.float32] = soxr.resample(waveform, sample_rate, target_rate, quality="HQ")
    expected = resampled_length(len(waveform), sample_rate, target_rate)
    if len(resampled) != expected:
        raise FeatbankError(
            f"{len(waveform)} samples resampled from {sample_rate} to {target_rate} Hz",
            expected=f"{expected} samples",
            got=len(resampled),
            hint="this soxr has another rule for lengths; install the locked one",
        )
    return resampled


def resampled_length(num_samples: int, sample_rate: int, target_rate: int) -> int:
    """Return how many samples `resample` gives.

    libsoxr rounds half up, in double precision, after dividing by the ratio of the rates.

    >>> resampled_length(441, 44100, 16000), resampled_length(16000, 16000, 16000)
    (160, 16000)
    """
    if sample_rate == target_rate:
        return num_samples
    return int(num_samples / (sample_rate / target_rate) + 0.5)


class AudioFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file read on and on.

    soundfile seeks to where it is after each read of a file that it calls seekable. DWVW refuses
    that, and a FLAC that states no length does at its end.
    """

    def seekable(self) -> bool:
        """Say no, so that soundfile only reads."""
        return False

    def read(self, frames: int, dtype: str = "float32") -> NDArray[Any]:
        """Return the next samples, at most `frames` of each channel: (n, channels)."""
        block: NDArray[Any] = super().read(frames, dtype=dtype, always_2d=True)
        return block

    @property
    def can_seek(self) -> bool:
        """Whether `seek` leads to the samples that are there."""
        return super().seekable() and self.subtype not in _NO_SEEK


@contextmanager
def open_audio(path: str | Path) -> Iterator[AudioFile]:
    """Open a file, telling its own faults from the machine's.

    Raises:
        AudioError: what it holds does not decode; also out of the reads in the `with` block.
        OSError: the machine failed, not the file.
    """
    promised = "audio"
    try:
        with AudioFile(path) as file:
            if file.subtype in _REFUSED:
                raise AudioError(
                    f"audio {path}", expected="MPEG layer III", got=_REFUSED[file.subtype]
                )
            if file.frames != UNKNOWN_LENGTH:
                promised = f"{file.frames} samples"
            yield file
    except soundfile.LibsndfileError as error:
        if error.code == _SYSTEM_ERROR:
            raise OSError(errno.EIO, error.error_string, str(path)) from error
        file_sha256(path)  # libsndfile may hide that a read failed: then this raises the OSError
        raise AudioError(
            f"audio {path} does not decode", expected=promised, got=error.error_string
        ) from error


def read_blocks(file: AudioFile, dtype: str = "float32") -> Iterator[NDArray[Any]]:
    """Read from where the file stands to its end: (block, channels) each."""
    while len(block := file.read(_BLOCK, dtype)):
        yield block


def go_to(file: AudioFile, sample: int) -> None:
    """Put a file just opened at `sample`, through a run-up where its decoder needs one."""
    at = 0
    if sample and file.can_seek:
        run_up = _RUN_UP_S.get(file.subtype, 0) * file.samplerate
        at = file.seek(max(0, sample - run_up))
    while at < sample:
        block = file.read(min(sample - at, _BLOCK))
        if not len(block):
            break  # cut short: the caller's check of the length says so
        at += len(block)


def _pcm_bytes(block: NDArray[Any], width: int) -> memoryview:
    """Return samples as FLAC hashes them: interleaved, little-endian, `width` bytes each."""
    little = block.astype(block.dtype.newbyteorder("<"), copy=False)
    if little.itemsize == width:
        return little.data
    # libsndfile puts a sample in the top bytes of the number it gives
    cells = little.view(np.uint8).reshape(-1, little.itemsize)
    return np.ascontiguousarray(cells[:, little.itemsize - width :]).data


def _check_length(path: str | Path, *, expected: int, got: int) -> None:
    if got != expected:
        file_sha256(path)  # a read that failed raises the OSError here
        raise AudioError(
            f"audio {path} is cut short", expected=f"{expected} samples", got=f"{got} decoded"
        )


def _check_finite(path: str | Path, samples: NDArray[np.float32]) -> None:
    if not np.isfinite(samples).all():
        bad = int(samples.size - np.isfinite(samples).sum())
        raise AudioError(
            f"audio {path}", expected="finite samples", got=f"{bad} NaN or infinite in a block"
        )
