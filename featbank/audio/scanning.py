"""Scan of an audio file: all of it is decoded once, to measure what it holds."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from featbank.audio.bandwidth import Bandwidth
from featbank.audio.containers import Container, check_container, check_flac_end, open_file
from featbank.audio.decoding import BLOCK, AudioFile, decode, read_blocks
from featbank.audio.digests import digest_of
from featbank.audio.flac_md5 import FlacMd5
from featbank.audio.holding import hold
from featbank.audio.reading import check_finite
from featbank.audio.sndfile import UNKNOWN_LENGTH, SndFile
from featbank.errors import AudioError


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioScan:
    """Result of a scan: rate, channels, samples, digest and bandwidth of an audio file.

    Args:
        sample_rate: in Hz.
        num_channels: channels of the file.
        num_samples: samples of each channel, as decoded.
        digest: of the audio; see `audio_digest`.
        sha256: of all bytes of the file, where that cost no reading of its own; else empty.
        ends_at_hz: above which its spectrum is empty, far below half its rate; 0 where it is not.
    """

    sample_rate: int
    num_channels: int
    num_samples: int
    digest: str
    sha256: str = field(default="", compare=False)
    ends_at_hz: int = field(default=0, compare=False)

    @property
    def duration_s(self) -> float:
        """Length, in seconds."""
        return self.num_samples / self.sample_rate


def scan_audio(path: str | Path, tolerate: Collection[str] = ()) -> AudioScan:
    """Decode a whole file, in blocks, and return what it holds.

    Args:
        path: of the file.
        tolerate: what is taken that is refused by default.

    Raises:
        AudioError: the file is missing, empty, unreadable, no audio, cut short or damaged, goes on
            behind what it states, has no sample, has NaN or infinite samples, or its samples are
            not those of its FLAC MD5.
        FeatbankError: it needs ffmpeg, which is not there or was killed.
        OSError, MemoryError: the machine failed, not the file.
    """
    with hold(open_file(path)) as held:
        file = held.file
        container = check_container(path, file, tolerate)
        if container.name == "FLAC":
            check_flac_end(path, file, os.fstat(file.fileno()).st_size)
        digest = digest_of(file, held.sha256)
        bandwidth = Bandwidth()
        with _promising(path, container), decode(path, file, container) as audio:
            if digest.startswith("md5:") and FlacMd5.reads(audio.subtype):
                assert isinstance(audio, SndFile)
                num_samples = _check_md5(path, audio, digest, bandwidth)
            else:
                num_samples = _check_samples(path, audio, bandwidth)
            _check_least(path, container, num_samples, audio.samplerate)
            return AudioScan(
                sample_rate=audio.samplerate,
                num_channels=audio.channels,
                num_samples=num_samples,
                digest=digest,
                sha256=held.sha256,
                ends_at_hz=bandwidth.ends_at(audio.samplerate),
            )


@contextmanager
def _promising(path: str | Path, container: Container) -> Iterator[None]:
    """Tell a decoder that gives nothing, and no error, from a file that holds nothing."""
    try:
        yield
    except AudioError as error:
        if error.kind != "no_samples" or not container.least_s:
            raise
        raise AudioError(
            f"audio {path} does not decode",
            kind="damaged",
            expected=f"at least {float(container.least_s):.3f} s",
            got="no sample, and no error",
            hint="an older ffmpeg may lack its codec, as FLAC of 32 bits before 6.1",
        ) from error


def _check_samples(path: str | Path, audio: AudioFile, bandwidth: Bandwidth) -> int:
    """Decode to the end and return how many samples there are, all of them finite."""
    num_samples = 0
    for block in read_blocks(audio):
        check_finite(path, block)
        bandwidth.add(block)
        num_samples += len(block)
    _check_length(path, audio, num_samples)
    return num_samples


def _check_md5(path: str | Path, audio: SndFile, digest: str, bandwidth: Bandwidth) -> int:
    """Decode a FLAC to the end and return how many samples there are, those of its MD5."""
    md5 = FlacMd5(audio.subtype)
    num_samples = 0
    while len(block := audio.read(BLOCK, md5.dtype)):
        md5.update(block)
        bandwidth.add(block)
        num_samples += len(block)
    _check_length(path, audio, num_samples)
    md5.check(path, digest)
    return num_samples


def _check_least(
    path: str | Path, container: Container, num_samples: int, sample_rate: int
) -> None:
    """Refuse what decodes to less than has been counted in its container."""
    least = container.least_s * sample_rate
    if num_samples < least:
        raise AudioError(
            f"audio {path} does not decode to its end",
            kind="truncated",
            expected=f"at least {int(least)} samples",
            got=f"{num_samples} decoded",
        )


def _check_length(path: str | Path, audio: AudioFile, num_samples: int) -> None:
    if num_samples != audio.frames:
        audio.check_end()
        if audio.frames != UNKNOWN_LENGTH:
            raise AudioError(
                f"audio {path} is cut short",
                kind="truncated",
                expected=f"{audio.frames} samples",
                got=f"{num_samples} decoded",
            )
    if num_samples == 0:
        raise AudioError(
            f"audio {path}", kind="no_samples", expected="at least one sample", got="none"
        )
