"""Parser of AU files, of Sun and NeXT."""

from __future__ import annotations

import struct
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.container import Container, cut_short, damaged
from featbank.audio.containers.measuring import Coding, Header, length_of_samples, measured

_HEADER = 24
_CODINGS = {
    1: ("ULAW", 1), 2: ("PCM_S8", 1), 3: ("PCM_16", 2), 4: ("PCM_24", 3), 5: ("PCM_32", 4),
    6: ("FLOAT", 4), 7: ("DOUBLE", 8), 27: ("ALAW", 1),
}  # fmt: skip
_IN_BLOCKS = (23, 25, 26)  # that libsndfile decodes: G.721, and G.723 of 3 and 5 bits


def au(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Parse an AU file of `size` bytes.

    Raises:
        AudioError: it is cut short, or goes on behind what it states.
    """
    file.seek(0)
    head = file.read(_HEADER)
    if len(head) < _HEADER:
        raise cut_short(path, f"a header of {_HEADER} bytes", len(head))
    start, stated, kind, sample_rate, channels = struct.unpack(">5I", head[4:])
    if start < _HEADER:
        raise damaged(path, f"samples from byte {_HEADER} on", start)
    subtype, width = _CODINGS.get(kind, (None, 0))
    header = Header(
        start=start, stated=stated, channels=channels, sample_rate=sample_rate,
        coding=Coding(subtype=subtype, width=width, endian="BIG") if subtype else None,
        length_at=8, order=">",
    )  # fmt: skip
    if subtype is None and kind not in _IN_BLOCKS:
        length_of_samples(path, file, size, header)
        return Container(name="AU", demuxer="au")
    return measured(path, file, size, header, name="AU")
