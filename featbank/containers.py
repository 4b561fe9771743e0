"""What the container of an audio file promises, checked against the bytes that are there.

libsndfile returns what is left of a truncated WAV, AIFF, AU, NIST or Ogg file without an error, and
counts it as the whole. So the length written in the container is compared with the file here. FLAC
and MP3 need no such check: their decoders claim the length in the header, and the decoded length is
compared with that. What cannot be seen is an MP3 without a length header, or a streamed FLAC whose
header has neither length nor MD5, cut between two frames.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from featbank.errors import AudioError

# faults of the file or its name; any other, such as EIO or EMFILE, is the machine's
_FILE_FAULTS = frozenset(
    [
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    ]
)
_UNKNOWN_SIZE = 0xFFFFFFFF  # written by a program that could not seek back to fill it in
_MAX_OGG_PAGE = 65_307
_END_OF_STREAM = 4
_ID3_FOOTER = 0x10


def check_container(path: str | Path) -> None:
    """Refuse a file that is not there, is no audio of a kind we can vouch for, or is cut short.

    Raises:
        AudioError: with what was expected and got.
        OSError: the machine failed, not the file.
    """
    try:
        # a pipe would block on opening
        if not stat.S_ISREG(Path(path).stat().st_mode):
            got = "a folder" if Path(path).is_dir() else "a device or a pipe"
            raise AudioError(f"audio {path}", expected="a file", got=got)
        with open(path, "rb") as file:
            _check_bytes(path, file)
    except OSError as error:
        if error.errno not in _FILE_FAULTS:
            raise
        raise AudioError(
            f"audio {path}", expected="a readable file", got=str(error.strerror)
        ) from error


def skip_tags(file: BinaryIO) -> None:
    """Put a file behind the ID3 tags that it begins with, or at its start."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or not head.startswith(b"ID3"):
            break
        length = 0
        for byte in head[6:]:  # seven bits each
            length = length << 7 | byte & 0x7F
        footer = 10 if head[5] & _ID3_FOOTER else 0
        at += 10 + length + footer
    file.seek(at)


def _check_bytes(path: str | Path, file: BinaryIO) -> None:
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise AudioError(f"audio {path}", expected="audio", got="an empty file")
    head = file.read(12)
    for magics, missing in _KINDS:
        if head.startswith(magics):
            form = head[8:]
            if head[:4] in _FORMS and form not in _FORMS[head[:4]]:
                raise AudioError(
                    f"audio {path}",
                    expected=" or ".join(known.decode() for known in _FORMS[head[:4]]),
                    got=f"{head[:4].decode()} with {form!r} in it",
                )
            file.seek(4)
            if problem := missing(file, size):
                expected, got = problem
                raise AudioError(f"audio {path} is cut short", expected=expected, got=got)
            return
    raise AudioError(
        f"audio {path}",
        expected="FLAC, WAV, Ogg (Opus, Vorbis), MP3, AIFF, AU or NIST",
        got=f"a file that begins with {head[:4]!r}",
    )


_Missing = tuple[str, str] | None


def _promised(start: int, length: int, size: int) -> _Missing:
    """Compare `length` bytes of samples, promised from `start` on, with the size of the file."""
    if start + length <= size:
        return None
    return f"{length} bytes of samples", str(max(0, size - start))


def _chunks_missing(file: BinaryIO, size: int, order: str, wanted: bytes) -> _Missing:
    """Walk the chunks of a RIFF, RF64 or AIFF file to the samples."""
    offset, long_size = 12, _UNKNOWN_SIZE
    while True:
        file.seek(offset)
        header = file.read(8)
        if len(header) < 8:
            return f"a {wanted.decode()} chunk", "the end of the file"
        kind, length = struct.unpack(f"{order}4sI", header)
        if kind == b"ds64":
            _, long_size = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
        if kind == wanted:
            if length == _UNKNOWN_SIZE:
                length = long_size
            if length == _UNKNOWN_SIZE:
                return None
            return _promised(offset + 8, length, size)
        offset += 8 + length + length % 2


def _wav_missing(file: BinaryIO, size: int) -> _Missing:
    return _chunks_missing(file, size, "<", b"data")


def _big_endian_wav_missing(file: BinaryIO, size: int) -> _Missing:
    return _chunks_missing(file, size, ">", b"data")


def _aiff_missing(file: BinaryIO, size: int) -> _Missing:
    return _chunks_missing(file, size, ">", b"SSND")


def _au_missing(file: BinaryIO, size: int) -> _Missing:
    start, length = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
    return None if length == _UNKNOWN_SIZE else _promised(start, length, size)


def _nist_missing(file: BinaryIO, size: int) -> _Missing:
    """Read the `name -type value` lines of a NIST SPHERE header."""
    file.seek(0)
    lines = file.read(1024).decode("ascii", "replace").splitlines()
    fields = {words[0]: words[2] for words in map(str.split, lines) if len(words) == 3}
    try:
        start = int(lines[1])
        length = int(fields["sample_count"]) * int(fields.get("channel_count", "1"))
        width = int(fields["sample_n_bytes"])
    except (IndexError, KeyError, ValueError):
        return "a header with sample_count and sample_n_bytes", "none"
    return _promised(start, length * width, size)


def _ogg_missing(file: BinaryIO, size: int) -> _Missing:
    """Look whether the last page is all there and marked as the end of the stream (RFC 3533)."""
    file.seek(max(0, size - 2 * _MAX_OGG_PAGE))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
    whole = len(lengths) > 0 and len(page) >= 27 + len(lengths) + sum(lengths)
    if whole and page[5] & _END_OF_STREAM:
        return None
    return "a page that ends the stream", "a page of its middle" if whole else "part of a page"


def _nothing_missing(_: BinaryIO, __: int) -> _Missing:
    return None


# the containers that hold more than audio: what stands in them when they do hold audio
_FORMS = {
    b"RIFF": (b"WAVE",),
    b"RF64": (b"WAVE",),
    b"RIFX": (b"WAVE",),
    b"FORM": (b"AIFF", b"AIFC"),
}

_KINDS: tuple[tuple[tuple[bytes, ...], Callable[[BinaryIO, int], _Missing]], ...] = (
    ((b"fLaC",), _nothing_missing),
    ((b"RIFF", b"RF64"), _wav_missing),
    ((b"RIFX",), _big_endian_wav_missing),
    ((b"FORM",), _aiff_missing),
    ((b".snd",), _au_missing),
    ((b"NIST",), _nist_missing),
    ((b"OggS",), _ogg_missing),
    # MPEG frames begin with eleven set bits; tags before them, or before FLAC's, with ID3
    (
        (b"ID3", b"\xff\xe2", b"\xff\xe3", b"\xff\xf2", b"\xff\xf3", b"\xff\xfa", b"\xff\xfb"),
        _nothing_missing,
    ),
)
