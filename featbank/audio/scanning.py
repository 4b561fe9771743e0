"""What an audio file really holds: the whole of it, decoded once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featbank.audio.decoding import BLOCK, AudioFile, decode, read_blocks
from featbank.audio.digests import digest_of
from featbank.audio.flac_md5 import FlacMd5
from featbank.audio.reading import check_finite
from featbank.audio.sndfile import UNKNOWN_LENGTH, SndFile
from featbank.containers import open_container
from featbank.errors import AudioError


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


def scan_audio(path: str | Path) -> AudioScan:
    """Decode a whole file, in blocks, and return what it holds.

    Raises:
        AudioError: the file is missing, empty, unreadable, no audio, cut short or damaged, has no
            sample, has NaN or infinite samples, or its samples are not those of its FLAC MD5.
        FeatbankError: it needs ffmpeg, which is not there or was killed.
        OSError, MemoryError: the machine failed, not the file.
    """
    file, container = open_container(path)
    with file:
        digest = digest_of(file)
        with decode(path, file, container) as audio:
            if digest.startswith("md5:") and FlacMd5.reads(audio.subtype):
                assert isinstance(audio, SndFile)
                num_samples = _check_md5(path, audio, digest)
            else:
                num_samples = _check_samples(path, audio)
            return AudioScan(
                sample_rate=audio.samplerate,
                num_channels=audio.channels,
                num_samples=num_samples,
                digest=digest,
            )


def _check_samples(path: str | Path, audio: AudioFile) -> int:
    """Decode to the end and return how many samples there are, all of them finite."""
    num_samples = 0
    for block in read_blocks(audio):
        check_finite(path, block)
        num_samples += len(block)
    _check_length(path, audio, num_samples)
    return num_samples


def _check_md5(path: str | Path, audio: SndFile, digest: str) -> int:
    """Decode a FLAC to the end and return how many samples there are, those of its MD5."""
    md5 = FlacMd5(audio.subtype)
    num_samples = 0
    while len(block := audio.read(BLOCK, md5.dtype)):
        md5.update(block)
        num_samples += len(block)
    _check_length(path, audio, num_samples)
    md5.check(path, digest)
    return num_samples


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
