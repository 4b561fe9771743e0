"""Parser of NIST SPHERE files."""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.container import Container, cut_short
from featbank.audio.containers.measuring import Coding, Header, measured
from featbank.errors import AudioError

_MOST_HEADER = 1 << 16
_MOST_DIGITS = 18
_SHORTEN = b"ajkg"
_PCM = {1: "PCM_S8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_LAWS = {"ulaw": "ULAW", "mu-law": "ULAW", "mulaw": "ULAW", "alaw": "ALAW", "a-law": "ALAW"}


def nist(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Parse the `name -type value` lines of a NIST SPHERE header.

    Raises:
        AudioError: the samples are compressed, cut short, or go on behind their number.
    """
    file.seek(0)
    lines = file.read(_MOST_HEADER).split(b"end_head")[0].decode("ascii", "replace").splitlines()
    fields = {words[0]: words[2] for words in (line.split(None, 2) for line in lines) if words[2:]}
    try:
        start = _number(lines[1])
        channels = _number(fields.get("channel_count", "1"))
        samples = _number(fields["sample_count"]) * channels
        width = _number(fields["sample_n_bytes"])
        rate = _number(fields.get("sample_rate", "0"))
    except (IndexError, KeyError, ValueError):
        raise cut_short(path, "a header with sample_count and sample_n_bytes", "none") from None
    coding = fields.get("sample_coding", "pcm").strip().lower()
    file.seek(start)
    packed = coding.partition(",")[2] or ("shorten" if file.read(4) == _SHORTEN else "")
    if packed:
        raise AudioError(
            f"audio {path}",
            kind="unknown_format",
            expected="a NIST SPHERE file of plain samples",
            got=f"one compressed by {packed}",
            hint="unpack it: sph2pipe -f wav IN OUT (shorten), or w_decode of NIST's own package",
        )
    header = Header(
        start=start, stated=samples * width, channels=channels,
        sample_rate=rate,
        coding=_coding(coding, width, fields.get("sample_byte_format", "")),
    )  # fmt: skip
    return measured(path, file, size, header, name="NIST")


def _number(text: str) -> int:
    """Read a number of any sane size.

    Raises:
        ValueError: it is none.
    """
    digits = text.strip()
    if not digits.isdecimal() or len(digits) > _MOST_DIGITS:
        raise ValueError(text)
    return int(digits)


def _coding(coding: str, width: int, order: str) -> Coding | None:
    subtype = _PCM.get(width) if coding == "pcm" else _LAWS.get(coding) if width == 1 else None
    if subtype is None or (subtype in _PCM.values() and width > 1 and order.strip("01")):
        return None
    endian = "BIG" if order.startswith("1") else "LITTLE"
    return Coding(subtype=subtype, width=width, endian=endian)
