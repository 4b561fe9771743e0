"""Containers of nested boxes with their lengths: MP4, Matroska and ASF.

Each function takes a file and its size, and returns what is promised and what is there where that
is less, else None.
"""

from __future__ import annotations

import struct
from io import BufferedReader

EBML = b"\x1a\x45\xdf\xa3"
"""What a Matroska or WebM file begins with."""

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
"""What an ASF file, such as WMA, begins with: the GUID of its header."""

_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_SEGMENT = b"\x18\x53\x80\x67"

_Missing = tuple[str, str] | None


def mp4_missing(file: BufferedReader, size: int) -> _Missing:
    """Walk the boxes at the top of an MP4 file (ISO 14496-12): all must end within it."""
    offset, seen = 0, set()
    while offset < size:
        file.seek(offset)
        header = file.read(16)
        if len(header) < 8:
            break
        length, kind = struct.unpack(">I4s", header[:8])
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        elif length == 0:  # up to the end of the file
            length = size - offset
        if offset + length > size:
            return f"{offset + length} bytes, by the length of a box", str(size)
        seen.add(kind)
        offset += max(8, length)
    absent = [box.decode() for box in (b"moov", b"mdat") if box not in seen]
    return (f"a {absent[0]} box", "the end of the file") if absent else None


def asf_missing(file: BufferedReader, size: int) -> _Missing:
    """Walk the objects of an ASF file to its data; a broadcast states no length."""
    offset = 0
    while offset + 24 <= size:
        file.seek(offset)
        header = file.read(24)
        length = int.from_bytes(header[16:], "little")
        if header.startswith(_ASF_DATA):
            return None if offset + length <= size else _short(offset + length, size)
        offset += max(24, length)
    return "a data object", "the end of the file"


def matroska_missing(file: BufferedReader, size: int) -> _Missing:
    """Walk the elements of a Matroska file to its segment (RFC 8794); it may state no length."""
    offset = 0
    while offset < size:
        file.seek(offset)
        header = file.read(12)
        kind = header[: _vint_bytes(header[:1])]
        coded = header[len(kind) :]
        coded = coded[: _vint_bytes(coded[:1])]
        if not coded:
            break
        ones = (1 << 7 * len(coded)) - 1
        length = int.from_bytes(coded, "big") & ones
        offset += len(kind) + len(coded) + length
        if kind == _SEGMENT:
            return None if length == ones or offset <= size else _short(offset, size)
    return "a segment", "the end of the file"


def _vint_bytes(first: bytes) -> int:
    """Return how many bytes a variable-length number has: one more than its leading zero bits."""
    return 9 - first[0].bit_length() if first and first[0] else 0


def _short(promised: int, size: int) -> _Missing:
    return f"{promised} bytes", str(size)
