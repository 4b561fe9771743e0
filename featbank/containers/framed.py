"""Containers that are a row of frames or pages: the last one must be all there.

Each function takes a file and its size, and returns what is promised and what is there where that
is less, else None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BufferedReader

from featbank.containers.ogg import MAX_PAGE
from featbank.containers.tags import skip_tags

_END_OF_STREAM = 4
_ADTS_HEADER = 7
# bytes of a frame by its type, with the byte that tells the type (RFC 4867, section 5.3)
_AMR = (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1)
_AMR_WB = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1)

_Missing = tuple[str, str] | None


def ogg_missing(file: BufferedReader, size: int) -> _Missing:
    """Look whether the last page is all there and marked as the end of the stream (RFC 3533)."""
    file.seek(max(0, size - 2 * MAX_PAGE))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
    whole = len(lengths) > 0 and len(page) >= 27 + len(lengths) + sum(lengths)
    if whole and page[5] & _END_OF_STREAM:
        return None
    return "a page that ends the stream", "a page of its middle" if whole else "part of a page"


def adts_missing(file: BufferedReader, size: int) -> _Missing:
    """Walk the frames of an AAC stream, which may begin and end with tags (ISO 13818-7, 6.2)."""
    return _frames_missing(file, size, skip_tags(file), _ADTS_HEADER, _adts_length)


def amr_missing(file: BufferedReader, size: int) -> _Missing:
    """Walk the frames of a narrow-band AMR file."""
    return _frames_missing(file, size, len(b"#!AMR\n"), 1, _amr_length(_AMR))


def amr_wb_missing(file: BufferedReader, size: int) -> _Missing:
    """Walk the frames of a wide-band AMR file."""
    return _frames_missing(file, size, len(b"#!AMR-WB\n"), 1, _amr_length(_AMR_WB))


def _frames_missing(
    file: BufferedReader, size: int, start: int, header: int, length_of: Callable[[bytes], int]
) -> _Missing:
    """Walk frames from `start` on; `length_of` tells a frame's from its header, 0 for no frame."""
    at = start
    while at < size:
        file.seek(at)
        length = length_of(file.read(header))
        if not length:
            break  # a tag behind the frames, or damage, which the decoder finds
        if at + length > size:
            return f"a last frame of {length} bytes", str(size - at)
        at += length
    return None


def _adts_length(head: bytes) -> int:
    if len(head) < _ADTS_HEADER:
        return _ADTS_HEADER if head.startswith(b"\xff") else 0
    if head[0] != 0xFF or head[1] & 0xF0 != 0xF0:
        return 0
    return max(_ADTS_HEADER, (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5)


def _amr_length(sizes: Sequence[int]) -> Callable[[bytes], int]:
    return lambda head: sizes[head[0] >> 3 & 15]
