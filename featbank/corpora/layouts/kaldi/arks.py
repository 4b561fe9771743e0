"""Finds the audio of an entry in a Kaldi archive: where it begins, and how long it is.

An archive is a row of entries, each a key, a space and what it holds. Kaldi's own programs write a
WAV file as it is; kaldiio, and with it ESPnet, also `AUDIO`, a length and a file of any kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BufferedReader

from featbank.errors import CorpusError
from featbank.files.opening import NotAFileError
from featbank.files.remote import AnyPath, open_parts, size_of

_NO_LENGTH = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # of programs that write into a pipe
_HEAD, _LENGTH_BYTES = 12, 8
_NIST_HEADER = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Where a file of audio lies in an archive.

    Args:
        start: its first byte.
        num_bytes: of it.
    """

    start: int
    num_bytes: int


class ArkReader:
    """Looks entries of archives up; it keeps the last archive open, which the next one is of."""

    def __init__(self) -> None:
        self._path: AnyPath | None = None
        self._file: BufferedReader | None = None

    def close(self) -> None:
        """Close the archive that is open."""
        if self._file is not None:
            self._file.close()
        self._path = self._file = None

    def find(self, path: AnyPath, offset: int, where: str) -> Payload:
        """Return where the audio lies that begins at a byte of an archive, as a wav.scp has it.

        Args:
            path: of the archive.
            offset: behind the key of the entry and its space.
            where: the entry is named, for messages.

        Raises:
            CorpusError: there is no such archive, no audio at that byte, or only a part of it.
        """
        try:
            if path != self._path:
                self.close()
                self._file = open_parts(path)
                self._path = path
            assert self._file is not None
            size = size_of(self._file)
            if offset >= size:
                raise _no_audio(where, offset, f"an archive of {size} bytes")
            found = _payload(self._file, offset, size, where)
        except (FileNotFoundError, NotADirectoryError, NotAFileError, PermissionError) as error:
            raise CorpusError(
                f"archive in {where}", expected="a readable file", got=error.strerror
            ) from error
        if (end := found.start + found.num_bytes) > size:
            raise CorpusError(
                f"archive in {where}: audio at byte {offset}",
                expected=f"{end} bytes of the archive",
                got=size,
                hint="it is cut short",
            )
        return found


def _payload(file: BufferedReader, offset: int, size: int, where: str) -> Payload:
    file.seek(offset)
    head = file.read(_HEAD)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        length = int.from_bytes(head[4:8], "little")
        if length in _NO_LENGTH:
            raise _no_audio(where, offset, "a WAV that does not state its length")
        return Payload(start=offset, num_bytes=8 + length)
    if head[:5] == b"AUDIO":
        # a byte that counts those of the length, then the length
        file.seek(offset + 5)
        [width] = file.read(1) or b"\0"
        if not 1 <= width <= _LENGTH_BYTES:
            raise _no_audio(where, offset, f"a length of {width} bytes")
        length = int.from_bytes(file.read(width), "little")
        return Payload(start=offset + 6 + width, num_bytes=length)
    if head[:4] == b"fLaC":  # it states no length, so it must be the last
        return Payload(start=offset, num_bytes=size - offset)
    if head[:7] == b"NIST_1A":
        return Payload(start=offset, num_bytes=_nist_length(file, offset, where))
    got = "a matrix of features" if head[:2] == b"\0B" else f"{head[:5]!r}"
    raise _no_audio(where, offset, got)


def _nist_length(file: BufferedReader, offset: int, where: str) -> int:
    """Return the bytes of a SPHERE file without compression, as its header states them."""
    file.seek(offset)
    fields = {}
    for line in file.read(_NIST_HEADER).split(b"\n"):
        if len(words := line.split()) == 3 and words[1] == b"-i" and words[2].isdigit():
            fields[words[0]] = int(words[2][:18])
    try:
        samples = fields[b"sample_count"] * fields.get(b"channel_count", 1)
        return _NIST_HEADER + samples * fields[b"sample_n_bytes"]
    except KeyError as error:
        raise _no_audio(where, offset, "a SPHERE header without a length") from error


def _no_audio(where: str, offset: int, got: str) -> CorpusError:
    return CorpusError(
        f"archive in {where}: byte {offset}",
        expected="audio: a WAV that states its length, a SPHERE file, or kaldiio's AUDIO",
        got=got,
    )
