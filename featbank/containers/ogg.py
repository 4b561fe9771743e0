"""Ogg files (RFC 3533): which of them libsndfile reads, and reads to their end."""

from __future__ import annotations

from io import BufferedReader

MAX_PAGE = 65_307
"""Bytes of the longest page."""

_FIRST_OF_STREAM = 2
_HEADER, _SERIAL = 27, slice(14, 18)
_OF_LIBSNDFILE = (b"OpusHead", b"\x01vorbis")


def is_for_ffmpeg(file: BufferedReader, size: int) -> bool:
    """Tell whether an Ogg file holds neither Opus nor Vorbis, or several streams in a row.

    Of the latter, such as a recorded broadcast, libsndfile reads the first and calls it the whole.
    """
    at, serials, codecs = 0, set(), []
    while True:
        file.seek(at)
        page = file.read(_HEADER + 255 + 8)
        if len(page) < _HEADER or not page.startswith(b"OggS") or not page[5] & _FIRST_OF_STREAM:
            break
        lengths = page[_HEADER : _HEADER + page[_HEADER - 1]]
        serials.add(page[_SERIAL])
        codecs.append(page[_HEADER + len(lengths) :])
        at += _HEADER + len(lengths) + sum(lengths)
    file.seek(max(0, size - 2 * MAX_PAGE))
    tail = file.read()
    last = tail[tail.rfind(b"OggS") :]
    known = any(codec.startswith(_OF_LIBSNDFILE) for codec in codecs)
    return bool(serials) and (not known or last[_SERIAL] not in serials)
