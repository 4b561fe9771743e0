"""Data behind the samples of a file that is not sound: chunks, tags, a few zeros."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import NamedTuple

from featbank.audio.containers.tags import tag_length

MOST_ZEROS = 4096
"""Bytes of padding that no one misses."""

MOST_CHUNKS = 10_000
"""What a file may hold beside its samples: over gigabytes of empty ones a walk would not end."""

_PRINTABLE = frozenset(range(0x20, 0x7F))
# a second file, or a second chunk of samples: sound that the first does not count
_SOUND = frozenset(
    [b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff", b"caff", b"data", b"SSND", b"fmt ",
     b"COMM", b"desc", b"wave"]
)  # fmt: skip


class Chunk(NamedTuple):
    """A chunk: the four letters of its name, the first byte behind its header, its length."""

    name: bytes
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Chunks:
    """Layout of the chunks of a container, and a walk over them.

    Args:
        order: of bytes, as `struct` calls it.
        length_code: of their length, as `struct` calls it.
        name_bytes: of their name, whose first four are letters.
        counts_itself: whether a length counts name and length, too.
        alignment: of each, in bytes.
    """

    order: str
    length_code: str
    name_bytes: int = 4
    counts_itself: bool = False
    alignment: int = 2

    def at(self, file: BufferedReader, at: int) -> Chunk | None:
        """Return the chunk at `at`; None where there is no room for one."""
        code = self.order + self.length_code
        header_bytes = self.name_bytes + struct.calcsize(code)
        file.seek(at)
        header = file.read(header_bytes)
        if len(header) < header_bytes:
            return None
        [length] = struct.unpack(code, header[self.name_bytes :])
        if self.counts_itself:
            length -= header_bytes
        return Chunk(header[:4], at + header_bytes, length)

    def walk(self, file: BufferedReader, at: int, size: int) -> Iterator[Chunk]:
        """Yield chunk after chunk from `at` on in a file of `size` bytes, as `at` returns each."""
        for _ in range(MOST_CHUNKS):
            if at >= size or (chunk := self.at(file, at)) is None:
                break
            yield chunk
            at = max(chunk.start, self.behind(chunk.start, chunk.length))

    def behind(self, start: int, length: int) -> int:
        """Return where the next chunk begins, given the first byte and the length of one."""
        return start + length + -length % self.alignment


def is_no_sound(file: BufferedReader, at: int, size: int, chunks: Chunks | None) -> bool:
    """Tell whether from `at` on a file holds whole chunks, tags and at most 4 KiB of zeros."""
    for _ in range(MOST_CHUNKS):
        if at >= size:
            return True
        if length := tag_length(file, at, size):
            at += length
        elif chunks and (chunk := chunks.at(file, at)) and _is_chunk(*chunk, size):
            at = chunks.behind(chunk.start, chunk.length)
        else:
            return size - at <= MOST_ZEROS and not any(_bytes_at(file, at))
    return False


def _is_chunk(name: bytes, start: int, length: int, size: int) -> bool:
    return 0 <= length <= size - start and name not in _SOUND and _PRINTABLE.issuperset(name)


def _bytes_at(file: BufferedReader, at: int) -> bytes:
    file.seek(at)
    return file.read(MOST_ZEROS)
