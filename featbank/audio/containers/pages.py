"""Pages of Ogg files (RFC 3533), and the logical streams that they belong to."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BufferedReader

_FIRST, LAST = 2, 4
"""Flags of a page: the first of its stream, the last."""

FLAGS_AT, _CRC_AT = 5, 22
_MAGIC = b"OggS"
_HEADER = 27
_MOST_HEAD = _HEADER + 255 + 64
_NO_GRANULE = (1 << 64) - 1
_PIECE = 1 << 20
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(slots=True, kw_only=True)
class Stream:
    """A logical stream of an Ogg file, followed from page to page.

    Args:
        codec: what that page holds: the codec's own header, up to 64 bytes.
        link: which of the rows of streams it belongs to, from 0.
        begin: position of its first sound, where its first page of sound ends.
        end: position at which its last page ends.
        page: byte at which its last page begins.
        flags: of that page.
        number: of that page.
        gap: byte of a page whose number does not follow on that before it, or -1.
        is_gap_in_sound: whether there is sound before that page, and not headers alone; the first
            such counts.
        is_open: whether that page ends in the midst of a packet.
    """

    codec: bytes
    link: int
    begin: int = -1
    end: int = 0
    page: int = 0
    flags: int = 0
    number: int = -1
    gap: int = -1
    is_gap_in_sound: bool = False
    is_open: bool = False

    def add(self, at: int, flags: int, granule: int, number: int, *, is_open: bool) -> None:
        """Note the stream's next page, which begins at byte `at`."""
        is_gap = 0 <= self.number != number - 1
        if is_gap and (self.gap < 0 or (self.begin >= 0 and not self.is_gap_in_sound)):
            self.gap, self.is_gap_in_sound = at, self.begin >= 0
        self.page, self.flags, self.number, self.is_open = at, flags, number, is_open
        if granule != _NO_GRANULE:
            self.end = granule
            self.begin = granule if self.begin < 0 < granule else self.begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The streams found in an Ogg file, and faults of its pages.

    Args:
        streams: in the order in which they begin.
        is_whole: whether the last page is all there.
        garbage: first byte of what stands between two pages and is none, or -1.
        damaged: first byte of a page with another checksum than it states, or -1.
    """

    streams: tuple[Stream, ...]
    is_whole: bool
    garbage: int
    damaged: int


def pages_of(file: BufferedReader, size: int) -> Pages:
    """Read the pages of an Ogg file of `size` bytes."""
    streams: list[Stream] = []
    current: dict[bytes, Stream] = {}
    at, link, begins, garbage, damaged, is_whole = 0, -1, False, -1, -1, True
    while at < size:
        file.seek(at)
        head = file.read(_MOST_HEAD)
        if not head.startswith(_MAGIC):
            found = _next_page(file, at)
            if found < 0:
                is_whole = not _MAGIC.startswith(head)
                break  # tags or padding at the end
            garbage, at = at if garbage < 0 else garbage, found
            continue
        lengths = head[_HEADER : _HEADER + head[26]] if len(head) >= _HEADER else b""
        body = at + _HEADER + len(lengths)
        if len(head) < _HEADER or len(lengths) < head[26] or body + sum(lengths) > size:
            is_whole = False
            break
        flags, granule, serial, number = struct.unpack("<BQ4sI", head[FLAGS_AT:_CRC_AT])
        page = head + file.read(max(0, body + sum(lengths) - at - len(head)))
        if damaged < 0 and not _is_sound(page[: body + sum(lengths) - at]):
            damaged = at  # decoders leave it out without a word
        if flags & _FIRST:
            link += not begins
            codec = head[_HEADER + len(lengths) :][: sum(lengths)][:64]
            current[serial] = Stream(codec=codec, link=link)
            streams.append(current[serial])
        begins = bool(flags & _FIRST)
        if stream := current.get(serial):
            stream.add(at, flags, granule, number, is_open=lengths.endswith(b"\xff"))
        elif garbage < 0:
            garbage = at
        at = body + sum(lengths)
    return Pages(streams=tuple(streams), is_whole=is_whole, garbage=garbage, damaged=damaged)


def ended_page(file: BufferedReader, at: int) -> tuple[tuple[int, bytes], ...]:
    """Return the bytes to patch in the page at `at` to mark it as the last of its stream."""
    file.seek(at)
    head = file.read(_HEADER + 255)
    lengths = head[_HEADER : _HEADER + head[26]]
    file.seek(at)
    page = bytearray(file.read(_HEADER + len(lengths) + sum(lengths)))
    page[FLAGS_AT] |= LAST
    page[_CRC_AT : _CRC_AT + 4] = bytes(4)
    crc = struct.pack("<I", _crc(bytes(page)))
    return (at + FLAGS_AT, bytes([page[FLAGS_AT]])), (at + _CRC_AT, crc)


def _is_sound(page: bytes) -> bool:
    crc = struct.pack("<I", _crc(page[:_CRC_AT] + bytes(4) + page[_CRC_AT + 4 :]))
    return crc == page[_CRC_AT : _CRC_AT + 4]


def _crc(page: bytes) -> int:
    """Return Ogg's checksum: zlib's polynomial with all bits the other way round, begun at 0."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _next_page(file: BufferedReader, at: int) -> int:
    """Return where the next page begins from `at` on, -1 for nowhere."""
    file.seek(at)
    kept = b""
    while piece := file.read(_PIECE):
        found = (kept + piece).find(b"OggS\0")
        if found >= 0:
            return at - len(kept) + found
        at += len(piece)
        kept = piece[-4:]
    return -1
