"""Containers of uncompressed samples, whose headers say how many bytes of them follow.

Each function takes a file and its size, and returns what is promised and what is there where that
is less, else None.
"""

from __future__ import annotations

import struct
from io import BufferedReader

_UNKNOWN_SIZE = 0xFFFFFFFF  # written by a program that could not seek back to fill it in
_NO_CHUNK = "the end of the file"

_Missing = tuple[str, str] | None


def wav_missing(file: BufferedReader, size: int) -> _Missing:
    """Check a RIFF or RF64 WAVE file."""
    return _chunks_missing(file, size, "<", b"data")


def big_endian_wav_missing(file: BufferedReader, size: int) -> _Missing:
    """Check a RIFX WAVE file."""
    return _chunks_missing(file, size, ">", b"data")


def aiff_missing(file: BufferedReader, size: int) -> _Missing:
    """Check an AIFF or AIFC file."""
    return _chunks_missing(file, size, ">", b"SSND")


def w64_missing(file: BufferedReader, size: int) -> _Missing:
    """Check a Sony Wave64 file: its chunks have GUIDs, and lengths that count themselves."""
    offset = 40
    while offset + 24 <= size:
        file.seek(offset)
        header = file.read(24)
        length = int.from_bytes(header[16:], "little")
        if header.startswith(b"data"):
            return _promised(offset + 24, length - 24, size)
        offset += max(24, length + -length % 8)
    return "a data chunk", _NO_CHUNK


def caf_missing(file: BufferedReader, size: int) -> _Missing:
    """Check a Core Audio file; a length of -1 goes on to its end."""
    offset = 8
    while offset + 12 <= size:
        file.seek(offset)
        kind, length = struct.unpack(">4sq", file.read(12))
        if kind == b"data":
            return None if length == -1 else _promised(offset + 12, length, size)
        offset += 12 + max(0, length)
    return "a data chunk", _NO_CHUNK


def au_missing(file: BufferedReader, size: int) -> _Missing:
    """Check an AU file."""
    file.seek(4)
    start, length = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
    return None if length == _UNKNOWN_SIZE else _promised(start, length, size)


def nist_missing(file: BufferedReader, size: int) -> _Missing:
    """Check the `name -type value` lines of a NIST SPHERE header."""
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


def _promised(start: int, length: int, size: int) -> _Missing:
    """Compare `length` bytes of samples, promised from `start` on, with the size of the file."""
    if start + length <= size:
        return None
    return f"{length} bytes of samples", str(max(0, size - start))


def _chunks_missing(file: BufferedReader, size: int, order: str, wanted: bytes) -> _Missing:
    """Walk the chunks of a RIFF, RF64 or AIFF file to the samples."""
    offset, long_size = 12, _UNKNOWN_SIZE
    while offset + 8 <= size:
        file.seek(offset)
        kind, length = struct.unpack(f"{order}4sI", file.read(8))
        if kind == b"ds64":
            _, long_size = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
        if kind == wanted:
            if length == _UNKNOWN_SIZE:
                length = long_size
            if length == _UNKNOWN_SIZE:
                return None
            return _promised(offset + 8, length, size)
        offset += 8 + length + length % 2
    return f"a {wanted.decode()} chunk", _NO_CHUNK
