"""Tags around the audio of a file: ID3, APE and Lyrics3, which are no part of any format."""

from __future__ import annotations

from io import BufferedReader

_FOOTER = 0x10
_ID3V1, _ID3V1_MORE, _APE = 128, 227, 32
_MOST_LYRICS = 1 << 20  # bytes of a Lyrics3 tag, which states its length behind itself


def skip_tags(file: BufferedReader) -> int:
    """Seek past the ID3 tags that a file begins with, or to its start; return the position."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or not head.startswith(b"ID3"):
            break
        at += _id3_length(head)
    file.seek(at)
    return at


def tag_length(file: BufferedReader, at: int, size: int) -> int:
    """Return the length in bytes of the tag at `at` in a file of `size` bytes; 0 for none."""
    file.seek(at)
    head = file.read(_APE)
    length = 0
    if head.startswith(b"ID3") and len(head) >= 10 and max(head[3:5]) < 0xFF > max(head[6:10]):
        length = _id3_length(head)
    elif head.startswith(b"TAG+"):
        length = _ID3V1_MORE
    elif head.startswith(b"TAG"):
        length = _ID3V1
    elif head.startswith(b"APETAGEX") and len(head) == _APE:
        # a header (or the footer of a tag that has none) counts the items and the footer
        is_header = int.from_bytes(head[20:24], "little") >> 29 & 1
        length = _APE + (int.from_bytes(head[12:16], "little") if is_header else 0)
    elif head.startswith(b"LYRICSBEGIN"):
        file.seek(at)
        lyrics = file.read(_MOST_LYRICS)
        ends = [found for mark in (b"LYRICS200", b"LYRICSEND") if (found := lyrics.find(mark)) >= 0]
        length = min(ends) + 9 if ends else 0
    return length if at + length <= size else 0


def end_before_tags(file: BufferedReader, size: int) -> int:
    """Return the position of the tags at the end of a file of `size` bytes; its size for none."""
    end = size
    while True:
        begin = _tag_before(file, end)
        if begin == end:
            return end
        end = begin


def _tag_before(file: BufferedReader, end: int) -> int:
    """Return where the tag begins that ends at `end`, or `end`."""
    first = max(0, end - _ID3V1_MORE - _ID3V1)
    file.seek(first)
    tail = file.read(end - first)
    if tail[-_ID3V1:].startswith(b"TAG"):
        return end - _ID3V1 - (_ID3V1_MORE if tail.startswith(b"TAG+") else 0)
    footer = tail[-_APE:]
    length = 0
    if footer.startswith(b"APETAGEX") and len(footer) == _APE:  # it counts itself and the items
        has_header = int.from_bytes(footer[20:24], "little") >> 31
        length = int.from_bytes(footer[12:16], "little") + (_APE if has_header else 0)
    elif tail.endswith(b"LYRICS200") and tail[-15:-9].isdigit():
        length = int(tail[-15:-9]) + 15
    return end - length if length <= end else end


def _id3_length(head: bytes) -> int:
    length = 0
    for byte in head[6:10]:  # seven bits each
        length = length << 7 | byte & 0x7F
    return 10 + length + (10 if head[5] & _FOOTER else 0)
