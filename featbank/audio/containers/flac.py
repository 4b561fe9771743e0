"""Parser of FLAC files (RFC 9639): their decoder, and data behind the samples they count.

libFLAC stops at the number of samples that the header states, and looks at nothing behind them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.container import Container, goes_on
from featbank.audio.containers.tags import end_before_tags, skip_tags

_STREAMINFO = 42  # bytes of "fLaC", a block header, and STREAMINFO itself
_BEGIN = b"fLaC\x00\x00\x00\x22"  # what any FLAC begins with, up to its STREAMINFO
_WIDTHS_OF_LIBSNDFILE = (8, 16, 24)
_TAIL = 1 << 20  # bytes that hold several frames: the largest that encoders make have some 100 kB
_MOST_HEAD = 16
_PIECE = 8 << 20
_SYNC = re.compile(b"\xff[\xf8\xf9]")
_BITS = (
    0,
    8,
    12,
    -1,
    16,
    20,
    24,
    32,
)  # of a sample, by their code; 0 where the header leaves it open


@dataclass(frozen=True, slots=True, kw_only=True)
class _Info:
    """A STREAMINFO block: the most samples of a frame, the rate in Hz, and so on."""

    block: int
    sample_rate: int
    channels: int
    bits: int
    num_samples: int


def flac(_path: str | Path, file: BufferedReader, size: int) -> Container:
    """Choose the decoder of a FLAC: libsndfile, but for sample widths that it does not know.

    What is behind the frames of a FLAC that ends with tags is nothing to either.
    """
    info = _info(file)
    end = end_before_tags(file, size)
    if info is None or info.bits in _WIDTHS_OF_LIBSNDFILE:
        # what is no FLAC after all, its decoder says
        return Container(name="FLAC", stop=end if end < size else 0)
    least_s = Fraction(info.num_samples, max(1, info.sample_rate))
    parts = ((0, end),) if end < size else ()
    return Container(name="FLAC", demuxer="flac", parts=parts, least_s=least_s)


def check_flac_end(path: str | Path, file: BufferedReader, size: int) -> None:
    """Check whether a FLAC of `size` bytes goes on behind the samples that it counts.

    Raises:
        AudioError: with another FLAC, or more frames.
    """
    info = _info(file)
    if info is None:
        return
    start = skip_tags(file)
    another = _find(file, start + len(_BEGIN), _BEGIN)
    if another >= 0:
        raise goes_on(path, "one FLAC", f"another from byte {another} on")
    if not info.num_samples:
        return  # it is decoded to the end of the file
    end = _end_of_last_frame(file, size, info)
    if end > info.num_samples:
        raise goes_on(path, f"{info.num_samples} samples", end)


def _info(file: BufferedReader) -> _Info | None:
    skip_tags(file)
    head = file.read(_STREAMINFO)
    if len(head) < _STREAMINFO or not head.startswith(b"fLaC"):
        return None
    packed = int.from_bytes(head[18:26], "big")
    return _Info(
        block=int.from_bytes(head[10:12], "big"),
        sample_rate=packed >> 44,
        channels=(packed >> 41 & 7) + 1,
        bits=(packed >> 36 & 31) + 1,
        num_samples=packed & (1 << 36) - 1,
    )


def _end_of_last_frame(file: BufferedReader, size: int, info: _Info) -> int:
    """Return the position at which the last frame ends, by its own header; 0 if none is found.

    What looks like a header is one where it goes on from another, or begins the file.
    """
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    frames = [
        place
        for found in _SYNC.finditer(tail)
        if (
            place := _place(
                tail[found.start() : found.start() + _MOST_HEAD].ljust(_MOST_HEAD, b"\0"), info
            )
        )
    ]
    ends = {end for _, end in frames} | {0}
    return max((end for start, end in frames if start in ends), default=0)


def _place(head: bytes, info: _Info) -> tuple[int, int] | None:
    """Return the samples from and to which a frame goes by its header; None for no header."""
    if head[3] & 1 or head[3] >> 4 > 10:
        return None
    channels = (head[3] >> 4) + 1 if head[3] >> 4 < 8 else 2
    bits = _BITS[head[3] >> 1 & 7]
    if channels != info.channels or bits not in (0, info.bits):
        return None
    ones = 8 - (head[4] ^ 0xFF).bit_length()  # of UTF-8: bytes of the number, or 0 for one
    if ones == 1 or ones > 7 or any(byte >> 6 != 2 for byte in head[5 : 4 + ones]):
        return None
    number = head[4] & (0x7F >> ones)
    for byte in head[5 : 4 + ones]:
        number = number << 6 | byte & 0x3F
    at = 4 + max(1, ones)
    code = head[2] >> 4
    more = {6: 1, 7: 2}.get(code, 0)
    block = int.from_bytes(head[at : at + more], "big") + 1 if more else _block(code)
    at += more + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if not block or head[2] & 15 == 15 or _crc8(head[:at]) != head[at]:
        return None
    start = number if head[1] & 1 else number * info.block
    return start, start + block


def _block(code: int) -> int:
    if code == 1:
        return 192
    return 576 << code - 2 if 2 <= code <= 5 else 256 << code - 8 if code >= 8 else 0


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
    return crc


def _find(file: BufferedReader, at: int, wanted: bytes) -> int:
    """Return where some bytes are found from `at` on, -1 for nowhere."""
    file.seek(at)
    kept = b""
    while piece := file.read(_PIECE):
        found = (kept + piece).find(wanted)
        if found >= 0:
            return at - len(kept) + found
        at += len(piece)
        kept = piece[1 - len(wanted) :]
    return -1
