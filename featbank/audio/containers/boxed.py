"""Parsers of containers made of nested boxes with their lengths: MP4, Matroska and ASF.

Each is for ffmpeg, which reads the first file of several in a row and says nothing of the others.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.container import Container, cut_short, damaged, goes_on
from featbank.audio.containers.trailing import MOST_CHUNKS, is_no_sound

EBML = b"\x1a\x45\xdf\xa3"
"""What a Matroska or WebM file begins with."""

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
"""What an ASF file, such as WMA, begins with: the GUID of its header."""

_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_BROADCAST = 1  # its lengths mean nothing
_MOST_ASF_HEADER = 1 << 16
_ASF_ROUNDING_S = Fraction(1, 4)  # of whole packets and the frames that decoders leave out
_SEGMENT, _VOID = b"\x18\x53\x80\x67", b"\xec"
_END = "the end of the file"


def mp4(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Walk the boxes at the top of an MP4 file (ISO 14496-12): all must end within it.

    Raises:
        AudioError: one does not, one is missing, or a second file follows.
    """
    offset, seen = 0, list[bytes]()
    while offset < size and not is_no_sound(file, offset, size, None):
        if len(seen) > MOST_CHUNKS:
            raise damaged(path, f"at most {MOST_CHUNKS} boxes", "more")
        file.seek(offset)
        header = file.read(16)
        if len(header) < 8:
            raise cut_short(path, "a box", f"{len(header)} bytes of one")
        kind = header[4:8]
        if not any(kind):
            raise goes_on(path, "box upon box", f"something else from byte {offset} on")
        length = _box_length(header, size - offset)
        if offset + length > size:
            raise cut_short(path, f"{offset + length} bytes, by the length of a box", size)
        if kind in (b"ftyp", b"moov") and kind in seen:
            raise goes_on(path, "one MP4 file", f"another from byte {offset} on")
        seen.append(kind)
        offset += max(8, length)
    for box in (b"moov", b"mdat"):
        if box not in seen:
            raise cut_short(path, f"a {box.decode()} box", _END)
    return Container(name="MP4", demuxer="mov")


def _box_length(header: bytes, rest: int) -> int:
    length = int.from_bytes(header[:4], "big")
    if length == 0:  # up to the end of the file
        return rest
    return int.from_bytes(header[8:], "big") if length == 1 else length


def asf(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Walk the objects of an ASF file; a broadcast states no length.

    Raises:
        AudioError: its data does not end within it, is missing, or a second file follows.
    """
    offset, has_data = 0, False
    for _ in range(MOST_CHUNKS):
        if offset + 24 > size:
            break
        file.seek(offset)
        header = file.read(24)
        length = int.from_bytes(header[16:], "little")
        if offset and header.startswith(ASF):
            raise goes_on(path, "one ASF file", f"another from byte {offset} on")
        if has_data and not 24 <= length <= size - offset:
            if is_no_sound(file, offset, size, None):
                break
            raise goes_on(path, "object upon object", f"something else from byte {offset} on")
        if header.startswith(_ASF_DATA):
            has_data = True
            if _is_broadcast(file):
                break  # it goes on to the end
            if offset + length > size:
                raise cut_short(path, f"{offset + length} bytes", size)
        offset += max(24, length)
    if not has_data:
        raise cut_short(path, "a data object", _END)
    return Container(name="WMA", demuxer="asf", least_s=_asf_least_s(file))


def _asf_least_s(file: BufferedReader) -> Fraction:
    """Return to how many seconds a file of one stream must decode, by its header (ASF, 3.2)."""
    num_streams, play = 0, Fraction(0)
    for kind, fields in _asf_header(file):
        if kind == _ASF_STREAM:
            num_streams += 1
        elif kind == _ASF_FILE and not fields[64] & _BROADCAST:
            play_100ns, _, preroll_ms = struct.unpack("<QQQ", fields[40:64])
            play = Fraction(play_100ns, 10**7) - Fraction(preroll_ms, 1000)
    return max(Fraction(0), play - _ASF_ROUNDING_S) if num_streams == 1 else Fraction(0)


def _is_broadcast(file: BufferedReader) -> bool:
    return any(kind == _ASF_FILE and fields[64] & _BROADCAST for kind, fields in _asf_header(file))


def _asf_header(file: BufferedReader) -> Iterator[tuple[bytes, bytes]]:
    """Give the objects in the header of an ASF file: the GUID and 80 bytes of each."""
    file.seek(0)
    header = file.read(_MOST_ASF_HEADER)
    offset = 30
    while offset + 24 <= min(len(header), int.from_bytes(header[16:24], "little")):
        yield header[offset : offset + 16], header[offset + 24 : offset + 104].ljust(80, b"\0")
        offset += max(24, int.from_bytes(header[offset + 16 : offset + 24], "little"))


def matroska(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Walk the elements at the top of a Matroska file (RFC 8794); its segment may state no length.

    Raises:
        AudioError: the segment does not end within the file, is missing, or something follows.
    """
    offset, has_segment = 0, False
    for _ in range(MOST_CHUNKS):
        if offset >= size:
            break
        file.seek(offset)
        header = file.read(12)
        kind = header[: _vint_bytes(header[:1])]
        coded = header[len(kind) :]
        coded = coded[: _vint_bytes(coded[:1])]
        if has_segment and kind != _VOID:
            if is_no_sound(file, offset, size, None):
                break
            raise goes_on(path, "one segment", f"something else from byte {offset} on")
        if not coded:
            break
        ones = (1 << 7 * len(coded)) - 1
        length = int.from_bytes(coded, "big") & ones
        offset += len(kind) + len(coded) + length
        if kind == _SEGMENT:
            has_segment = True
            if length == ones:
                break
            if offset > size:
                raise cut_short(path, f"{offset} bytes", size)
    if not has_segment:
        raise cut_short(path, "a segment", _END)
    return Container(name="Matroska", demuxer="matroska")


def _vint_bytes(first: bytes) -> int:
    """Return how many bytes a variable-length number has: one more than its leading zero bits."""
    return 9 - first[0].bit_length() if first and first[0] else 0
