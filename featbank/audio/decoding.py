"""Decoding of audio files by libsndfile, or by ffmpeg where libsndfile cannot."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from featbank.audio.containers import TOLERANCES, Container, open_container
from featbank.audio.digests import check_digest
from featbank.audio.ffmpeg import open_ffmpeg
from featbank.audio.sndfile import open_sndfile
from featbank.audio.versions import warn_of_ffmpeg
from featbank.base.places import audio_suffix

BLOCK = 1 << 16
"""Samples read at a time, where nothing asks for more."""

# Lossy decoders need a run-up before their values come close to those of a decoding from the start.
# One second is ample for Opus (RFC 7845 asks for 80 ms) and MP3.
_RUN_UP_S = {"OPUS": 1, "MPEG_LAYER_III": 1}


class AudioFile(Protocol):
    """An audio file being decoded: a protocol with the names of `soundfile.SoundFile`."""

    @property
    def samplerate(self) -> int:
        """Sample rate, in Hz."""

    @property
    def channels(self) -> int:
        """Number of channels."""

    @property
    def frames(self) -> int:
        """Samples of each channel, as the file states them, or `UNKNOWN_LENGTH`."""

    @property
    def subtype(self) -> str:
        """How the samples are coded."""

    @property
    def can_seek(self) -> bool:
        """Whether `seek` leads to the samples that are there."""

    def read(self, frames: int) -> NDArray[np.float32]:
        """Return the next samples, (n, channels): fewer than `frames` only at the end."""

    def seek(self, frames: int) -> int:
        """Go to a sample, where `can_seek`; return where the file is then."""

    def check_end(self) -> None:
        """Raise the error that ended decoding before the end: damage, or a fault of the machine."""


@contextmanager
def open_audio(
    path: str | Path, *, digest: str = "", tolerate: Collection[str] = ()
) -> Iterator[AudioFile]:
    """Open a file to decode it, telling its own faults from the machine's.

    Args:
        path: of the file.
        digest: that it must have, as `audio_digest` gives it; empty takes any. What was tolerated
            in the file of that digest is tolerated again.
        tolerate: what is taken that is refused by default.

    Raises:
        AudioError: the file is missing, empty, unreadable, no audio, cut short, has another digest,
            or what it holds does not decode, which also comes out of the reads in the `with` block.
        FeatbankError: it needs ffmpeg, which is not there or was killed.
        OSError, MemoryError: the machine failed, not the file.
    """
    file, container = open_container(path, TOLERANCES if digest else tolerate)
    with file:
        if digest:
            check_digest(path, file, digest)
        with decode(path, file, container) as audio:
            yield audio


def decode(
    path: str | Path, file: BufferedReader, container: Container
) -> AbstractContextManager[AudioFile]:
    """Decode an open file, which its decoder reads from then on. See `open_audio`."""
    if container.demuxer:
        warn_of_ffmpeg(audio_suffix(os.fspath(path)))
        return open_ffmpeg(path, file, container)
    return open_sndfile(path, file, container)


def read_blocks(file: AudioFile) -> Iterator[NDArray[np.float32]]:
    """Read from where the file stands to its end: (block, channels) each."""
    while len(block := file.read(BLOCK)):
        yield block


def go_to(file: AudioFile, sample: int) -> None:
    """Seek to `sample` in a file just opened, through a run-up where its decoder needs one."""
    at = 0
    if sample and file.can_seek:
        run_up = _RUN_UP_S.get(file.subtype, 0) * file.samplerate
        at = file.seek(max(0, sample - run_up))
    while at < sample:
        block = file.read(min(sample - at, BLOCK))
        if not len(block):
            break  # cut short: the caller's check of the length says so
        at += len(block)
