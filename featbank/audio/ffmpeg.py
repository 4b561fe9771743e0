"""Decoding by ffmpeg, in a process of its own that streams the samples through a pipe.

ffmpeg is told what the file is and may open nothing else, so that no playlist or reference in it
leads to another file. It decodes from the start, in one thread: its own seeking is not exact to the
sample.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from featbank.audio.containers import Container, read_through
from featbank.audio.sndfile import UNKNOWN_LENGTH
from featbank.errors import AudioError, FeatbankError

_PIPE_BYTES = 1 << 20  # ffmpeg decodes ahead while we are at something else
_STOPPED = 255  # how ffmpeg ends when it is told to by a signal that it catches
_NOT_RUN = (126, 127)  # how a program ends that could not be loaded
_AU_HEADER, _AU_FLOAT = 24, 6
# what ffmpeg can only mean of the machine, for the file is open already
_MACHINE_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOENT, errno.EACCES)
_LACKING = ("Unknown input format", "no decoder found", "not found for input stream")
_NO_AUDIO = ("matches no streams", "(codec none)", "found for: none")  # or none that it knows
_TRACKS = "only one stream is supported"
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")
_SOURCE = re.compile(r"(file|concat):\S*/dev/fd/\d+: ")


class FfmpegFile:
    """An audio file decoded by ffmpeg: a `decoding.AudioFile`."""

    frames = UNKNOWN_LENGTH
    subtype = "FFMPEG"
    can_seek = False

    def __init__(
        self,
        path: str | Path,
        file: BufferedReader,
        process: subprocess.Popen[bytes],
        errors: IO[bytes],
    ) -> None:
        """Wait for the first samples.

        Args:
            path: of the file, for messages.
            file: open for reading.
            process: ffmpeg, that writes an AU file of floats.
            errors: what ffmpeg says.

        Raises:
            AudioError, FeatbankError, OSError, MemoryError: see `check_end`.
        """
        assert process.stdout
        self._path = path
        self._file = file
        self._process = process
        self._pipe = process.stdout
        self._errors = errors
        head = self._pipe.read(_AU_HEADER)
        if len(head) < _AU_HEADER:
            self.check_end()
            raise AudioError(
                f"audio {path}", kind="no_samples", expected="at least one sample", got="none"
            )
        magic, start, _, coding, self.samplerate, self.channels = struct.unpack(">4s5I", head)
        if (magic, coding) != (b".snd", _AU_FLOAT):
            raise FeatbankError(f"ffmpeg, which decodes {path}", expected="float samples", got=head)
        self._pipe.read(start - _AU_HEADER)

    def read(self, frames: int) -> NDArray[np.float32]:
        """Return the next samples, (n, channels): fewer than `frames` only at the end."""
        data = self._pipe.read(frames * self.channels * 4)
        whole = len(data) // (self.channels * 4)
        samples = np.frombuffer(data, ">f4", whole * self.channels)
        return samples.astype(np.float32).reshape(whole, self.channels)

    def seek(self, frames: int) -> int:
        """Refuse: ffmpeg's output is read from its start."""
        raise NotImplementedError(f"seek to sample {frames} of what ffmpeg decodes")

    def check_end(self) -> None:
        """Raise the error that ended decoding before the end.

        Raises:
            AudioError: it is damaged, or holds no audio.
            FeatbankError: ffmpeg was killed, or lacks the decoder.
            OSError, MemoryError: the machine failed.
        """
        status = self._process.wait()
        said = self._said()
        if status < 0 or status == _STOPPED:
            raise FeatbankError(
                f"ffmpeg, which decodes {self._path}",
                expected="it to end by itself",
                got=signal.Signals(-status).name if status < 0 else "a signal",
                hint="something stopped it: a lack of memory, a limit, or somebody",
            )
        if not status and not said:
            return
        self._raise_of_the_machine(said)
        if _TRACKS in said:
            raise AudioError(
                f"audio {self._path}",
                kind="unknown_format",
                expected="one track of sound",
                got="several",
                hint="keep one: ffmpeg -i IN -map 0:a:0 -c copy OUT",
            )
        raise AudioError(
            f"audio {self._path} does not decode",
            kind="unknown_format" if _has(said, _NO_AUDIO) else "damaged",
            expected="audio",
            got=f"ffmpeg's {said.splitlines()[0]!r}" if said else f"ffmpeg's exit status {status}",
        )

    def _said(self) -> str:
        """Return what ffmpeg says of the file, without what differs from run to run."""
        self._errors.seek(0)
        said = _ADDRESS.sub("", self._errors.read().decode(errors="replace"))
        return _SOURCE.sub("", said).strip()

    def _raise_of_the_machine(self, said: str) -> None:
        """Raise when what ffmpeg said is no fault of the file."""
        read_through(self._file.fileno())
        if os.strerror(errno.ENOMEM) in said:
            raise MemoryError(f"ffmpeg, which decodes {self._path}: {said}")
        if self._process.returncode in _NOT_RUN or (
            _has(said, _LACKING) and not _has(said, _NO_AUDIO)
        ):
            raise FeatbankError(
                f"audio {self._path}",
                expected="an ffmpeg that decodes it",
                got=said.splitlines()[0] if said else "one that does not start",
                hint="install an ffmpeg with all decoders, or convert the file to FLAC",
            )
        for number in _MACHINE_ERRORS:
            if os.strerror(number) in said:
                raise OSError(number, f"ffmpeg: {os.strerror(number)}", str(self._path))


def _widen(pipe: IO[bytes] | None) -> None:
    """Let a pipe take more than 64 KiB where the system can, and grants it."""
    if pipe and hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _has(said: str, parts: Iterable[str]) -> bool:
    return any(part in said for part in parts)


def _input(pieces: Sequence[tuple[int, int, int]]) -> str:
    """Name a row of pieces of open files, as ffmpeg does: descriptor, first byte, one behind."""
    return "concat:" + "|".join(
        f"subfile,,start,{start},end,{stop},,:/dev/fd/{descriptor}"
        for descriptor, start, stop in pieces
    )


def _mended_head(file: BufferedReader, mended: Sequence[tuple[int, bytes]]) -> bytes:
    """Return a file's bytes up to the last that is mended."""
    file.seek(0)
    head = bytearray(file.read(max(at + len(right) for at, right in mended)))
    for at, right in mended:
        head[at : at + len(right)] = right
    return bytes(head)


@contextmanager
def open_ffmpeg(
    path: str | Path, file: BufferedReader, container: Container
) -> Iterator[FfmpegFile]:
    """Decode an open file, see `decoding.open_audio`.

    Args:
        path: of the file, for messages.
        file: open for reading.
        container: that it is: for which demuxer, which parts of it, and what is to be mended.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise FeatbankError(
            f"audio {path}",
            expected="ffmpeg to decode it",
            got="none on PATH",
            hint="install ffmpeg, or convert the file to FLAC",
        )
    descriptor = file.fileno()
    pieces = [(descriptor, *part) for part in container.parts]
    with tempfile.TemporaryFile() as head:
        if container.mended:
            head.write(_mended_head(file, container.mended))
            head.flush()
            at = head.tell()
            pieces = [(head.fileno(), 0, at), (descriptor, at, os.fstat(descriptor).st_size)]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield from _run(program, path, file, container.demuxer, pieces)


def _run(
    program: str,
    path: str | Path,
    file: BufferedReader,
    demuxer: str,
    pieces: Sequence[tuple[int, int, int]],
) -> Iterator[FfmpegFile]:
    descriptor = file.fileno()
    command = [
        program, "-nostdin", "-hide_banner", "-v", "error", "-xerror",
        "-threads", "1", "-flags:a", "+bitexact",
        "-protocol_whitelist", "file,concat,subfile" if pieces else "file",
        "-f", demuxer, "-i", _input(pieces) if pieces else f"file:/dev/fd/{descriptor}",
        "-map", "0:a", "-c:a", "pcm_f32be",
        "-flush_packets", "0",  # 32 KiB at a time, not each 1024 samples of AAC
        "-f", "au", "pipe:1",
    ]  # fmt: skip
    with (
        tempfile.TemporaryFile() as errors,  # a pipe could fill up and stop ffmpeg
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds={descriptor, *(piece[0] for piece in pieces)},
            env={**os.environ, "LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1"},
            process_group=0,  # Ctrl-C is for us, who end it
        ) as process,
    ):
        _widen(process.stdout)
        try:
            yield FfmpegFile(path, file, process, errors)
        finally:
            process.kill()
