"""Parsers of streams of frames without a container: AAC (ADTS) and AMR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.container import Container, cut_short, damaged
from featbank.audio.containers.tags import skip_tags, tag_length
from featbank.audio.containers.trailing import is_no_sound
from featbank.errors import AudioError

_ADTS_HEADER = 7
_ADTS_RATES = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000,
    7350,
)  # fmt: skip
_ADTS_FRAME = 1024  # samples of each channel
# bytes of a frame by its type, with the byte that tells the type (RFC 4867, section 5.3)
_AMR = (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1)
_AMR_WB = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1)
_AMR_FRAME_S = Fraction(1, 50)
_UNHEARD = 3  # frames that a decoder may leave out at the ends


def adts(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Parse the frames of an AAC stream, between its tags (ISO 13818-7, 6.2).

    Raises:
        AudioError: its last frame is cut short, something else stands between two, or the sample
            rate or the channels change.
    """
    start = skip_tags(file)
    first = file.read(_ADTS_HEADER)
    rate = first[2] >> 2 & 15 if len(first) > 3 else 15
    if rate >= len(_ADTS_RATES):
        raise damaged(path, "a frame of AAC", f"{first!r}")

    def length_of(head: bytes) -> int:
        length = _adts_length(head)
        # rate and channels: what a decoder would otherwise bring to those of the first frame
        if length and len(head) > 3 and (head[2] ^ first[2]) & 0x3D | (head[3] ^ first[3]) & 0xC0:
            raise AudioError(
                f"audio {path} changes in its midst",
                kind="unknown_format",
                expected="one sample rate and number of channels",
                got="another",
                hint="convert its parts one by one",
            )
        return length

    number, parts = _walk(path, file, size, start, _ADTS_HEADER, length_of)
    least_s = max(0, number - _UNHEARD) * Fraction(_ADTS_FRAME, _ADTS_RATES[rate])
    return Container(name="AAC", demuxer="aac", parts=parts, least_s=least_s)


def amr(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Parse the frames of a narrow-band AMR file; see `adts`."""
    return _amr(path, file, size, b"#!AMR\n", _AMR)


def amr_wb(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Parse the frames of a wide-band AMR file; see `adts`."""
    return _amr(path, file, size, b"#!AMR-WB\n", _AMR_WB)


def _amr(
    path: str | Path, file: BufferedReader, size: int, magic: bytes, sizes: Sequence[int]
) -> Container:
    number, parts = _walk(
        path,
        file,
        size,
        len(magic),
        1,
        lambda head: 0 if head[0] & 0x83 else sizes[head[0] >> 3 & 15],
    )
    if parts:
        raise damaged(path, "frames", f"tags behind {number} of them")
    least_s = max(0, number - _UNHEARD) * _AMR_FRAME_S
    return Container(name="AMR", demuxer="amr", least_s=least_s)


def _walk(
    path: str | Path,
    file: BufferedReader,
    size: int,
    start: int,
    header: int,
    length_of: Callable[[bytes], int],
) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Go through frames from `start` on; `length_of` tells a frame's from its header, 0 for none.

    Returns:
        Their number, and where they stand if tags are between them.

    Raises:
        AudioError: the last is cut short, or something else stands behind them.
    """
    at, begin, number = start, start, 0
    parts: list[tuple[int, int]] = []
    while at < size:
        file.seek(at)
        if length := length_of(file.read(header)):
            if at + length > size:
                raise cut_short(path, f"a last frame of {length} bytes", size - at)
            at += length
            number += 1
        elif length := tag_length(file, at, size):
            parts += [(begin, at)] if at > begin else []
            at = begin = at + length
        elif is_no_sound(file, at, size, None):
            break
        else:
            raise damaged(path, "frames and tags", f"something else at byte {at}")
    parts += [(begin, at)] if at > begin else []
    return number, tuple(parts) if len(parts) > 1 else ()


def _adts_length(head: bytes) -> int:
    if len(head) < _ADTS_HEADER:
        return _ADTS_HEADER if head.startswith(b"\xff") else 0
    if head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    return max(_ADTS_HEADER, (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5)
