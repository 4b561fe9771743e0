"""Decoding by libsndfile: by a file's header, or by the samples as they stand in it.

libsndfile reads no sample, or 4 GiB of them, where a header states a length that is none, and ends
with an error at others. Where the container knows where the samples are, libsndfile is only told
how they are coded.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import soundfile
from numpy.typing import NDArray

from featbank.audio.containers import Container, read_through
from featbank.audio.window import FileWindow
from featbank.errors import AudioError

UNKNOWN_LENGTH = 2**63 - 1
"""What libsndfile counts in a FLAC that states no length: its encoder could not seek back."""

_SYSTEM_ERROR, _NO_MEMORY = 2, 17  # SFE_SYSTEM, SFE_MALLOC_FAILED
# decoded from their start, for libsndfile cannot seek in DWVW, which it does not say, and goes
# astray in the last page of Vorbis
_NO_SEEK = frozenset(["VORBIS", "DWVW_12", "DWVW_16", "DWVW_24", "DWVW_N"])
# found behind tags that hide it from the container's check; nothing tells when one is cut short
_REFUSED = {"MPEG_LAYER_I": "MPEG layer I", "MPEG_LAYER_II": "MPEG layer II"}


class SndFile(soundfile.SoundFile):  # type: ignore[misc]
    """A `SoundFile` that is read without a seek after each read.

    soundfile seeks to where it is after each read of a file that it calls seekable. DWVW refuses
    that, and a FLAC that states no length does at its end.
    """

    def seekable(self) -> bool:
        """Say no, so that soundfile only reads."""
        return False

    @property
    def can_seek(self) -> bool:
        """Whether `seek` leads to the samples that are there."""
        return super().seekable() and self.subtype not in _NO_SEEK

    def read(self, frames: int, dtype: str = "float32") -> NDArray[Any]:
        """Return the next samples, at most `frames` of each channel: (n, channels)."""
        block: NDArray[Any] = super().read(frames, dtype=dtype, always_2d=True)
        return block

    def check_end(self) -> None:
        """Raise the OSError or MemoryError that libsndfile may have taken for the end."""
        if isinstance(self.name, FileWindow):
            if self.name.error:
                raise self.name.error
            read_through(self.name.descriptor)
        else:
            read_through(self.name)


@contextmanager
def open_sndfile(path: str | Path, file: BufferedReader, container: Container) -> Iterator[SndFile]:
    """Decode an open file, telling its own faults from the machine's; see `decoding.open_audio`."""
    descriptor, promised = file.fileno(), ""
    try:
        with _decode(descriptor, container) as opened:
            if opened.subtype in _REFUSED:
                raise AudioError(
                    f"audio {path}",
                    kind="unknown_format",
                    expected="MPEG layer III",
                    got=_REFUSED[opened.subtype],
                )
            promised = "audio" if opened.frames == UNKNOWN_LENGTH else f"{opened.frames} samples"
            yield opened
    except soundfile.LibsndfileError as error:
        if error.code == _NO_MEMORY:
            raise MemoryError(f"decoding {path}: {error.error_string}") from error
        # libsndfile tells no errno, and hides a read that failed on opening
        read_through(descriptor)
        if error.code == _SYSTEM_ERROR or (not promised and _opens(descriptor, container)):
            raise OSError(errno.EIO, "a read failed for a moment", str(path)) from error
        raise AudioError(
            f"audio {path} does not decode",
            kind="damaged",
            expected=promised or "audio",
            got=error.error_string,
        ) from error


def _decode(descriptor: int, container: Container) -> SndFile:
    samples = container.samples
    if samples is None or samples.is_stated:
        os.lseek(descriptor, 0, os.SEEK_SET)
        given: int | FileWindow = descriptor
        if container.mended or container.stop:
            stop = container.stop or os.fstat(descriptor).st_size
            given = FileWindow(descriptor, 0, stop, container.mended)
        opened = SndFile(given, closefd=False)
        if samples is None or opened.frames == samples.num_samples:
            return opened
        opened.close()  # it has its own idea of the header
    return SndFile(
        FileWindow(descriptor, samples.start, samples.start + samples.length),
        format="RAW",
        subtype=samples.subtype,
        endian="FILE" if samples.width == 1 else samples.endian,
        channels=samples.channels,
        samplerate=samples.sample_rate,
    )


def _opens(descriptor: int, container: Container) -> bool:
    try:
        _decode(descriptor, container).close()
    except soundfile.LibsndfileError:
        return False
    return True
