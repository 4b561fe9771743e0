"""Audio files written byte by byte, so that each length in a header can be anything."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

RATE = 16_000
FRAME = 4  # bytes: two channels of 16 bits
NUM_SAMPLES = 3000
WHOLE = NUM_SAMPLES * FRAME
"""Bytes of samples in each file."""


def samples() -> np.ndarray:
    """Return the samples of all of them, (NUM_SAMPLES, 2) int16, with no zero among them."""
    return np.random.default_rng(3).integers(1, 2**15, (NUM_SAMPLES, 2)).astype("<i2")


def _chunk(name: bytes, body: bytes, order: str = "<", stated: int | None = None) -> bytes:
    length = len(body) if stated is None else stated
    return name + struct.pack(order + "I", length & 0xFFFFFFFF) + body + bytes(len(body) % 2)


def _form(order: str, tag: int = 1) -> bytes:
    return struct.pack(order + "HHIIHH", tag, 2, RATE, RATE * FRAME, FRAME, 16)


def _riff(magic: bytes, order: str) -> Callable[[int], bytes]:
    def header(stated: int) -> bytes:
        head = magic + struct.pack(order + "I", 36 + stated & 0xFFFFFFFF) + b"WAVE"
        head += _chunk(b"fmt ", _form(order), order)
        return head + b"data" + struct.pack(order + "I", stated & 0xFFFFFFFF)

    return header


def _extensible(stated: int) -> bytes:
    form = _form("<", 0xFFFE) + struct.pack("<HHIH", 22, 16, 3, 1)
    form += bytes.fromhex("000000001000800000aa00389b71")
    head = _chunk(b"fmt ", form) + _chunk(b"LIST", b"INFOISFT\x04\0\0\0abc\0")
    head += _chunk(b"fact", struct.pack("<I", NUM_SAMPLES)) + _chunk(b"note", b"odd")
    head += b"data" + struct.pack("<I", stated & 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", 4 + len(head) + stated & 0xFFFFFFFF) + b"WAVE" + head


def _long(magic: bytes) -> Callable[[int], bytes]:
    def header(stated: int) -> bytes:
        ds64 = struct.pack("<QQQI", stated & 2**64 - 1, stated & 2**64 - 1, NUM_SAMPLES, 0)
        head = magic + b"\xff\xff\xff\xffWAVE" + _chunk(b"ds64", ds64)
        return head + _chunk(b"fmt ", _form("<")) + b"data\xff\xff\xff\xff"

    return header


_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def _w64(stated: int) -> bytes:
    is_real = 0 <= stated < 2**62
    size = stated + 24 if is_real and stated else stated
    head = (
        b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0" + struct.pack("<Q", 0) + b"wave" + _GUID
    )
    head += b"fmt " + _GUID + struct.pack("<Q", 40) + _form("<")
    return head + b"data" + _GUID + struct.pack("<Q", size)


def _au(stated: int) -> bytes:
    return struct.pack(">4sIIIII", b".snd", 24, stated & 0xFFFFFFFF, 3, RATE, 2)


def _caf(stated: int) -> bytes:
    head = b"caff\0\1\0\0" + b"desc" + struct.pack(">q", 32)
    head += struct.pack(">d4s5I", RATE, b"lpcm", 0, FRAME, 1, 2, 16)
    is_real = 0 < stated < 2**62
    size = stated + 4 if is_real else stated - 2**64 if stated >= 2**63 else stated
    return head + b"data" + struct.pack(">q", size) + bytes(4)


def _aiff(stated: int, frames: int | None = None, kind: bytes = b"", offset: int = 0) -> bytes:
    count = stated // FRAME if frames is None else frames
    common = struct.pack(">HIH", 2, count & 0xFFFFFFFF, 16) + bytes.fromhex("400cfa00000000000000")
    common += kind + b"\0\0" if kind else b""
    size = stated + 8 + offset if 0 < stated < 0xF0000000 else stated
    head = (b"AIFC" if kind else b"AIFF") + _chunk(b"COMM", common, ">")
    head += b"SSND" + struct.pack(">III", size & 0xFFFFFFFF, offset, 0) + bytes(offset)
    return b"FORM" + struct.pack(">I", len(head) + stated & 0xFFFFFFFF) + head


def _nist(stated: int) -> bytes:
    lines = [
        "NIST_1A", "   1024", f"sample_count -i {stated // FRAME}", "sample_n_bytes -i 2",
        "channel_count -i 2", f"sample_rate -i {RATE}", "sample_byte_format -s2 01", "end_head", "",
    ]  # fmt: skip
    return "\n".join(lines).encode().ljust(1024)


HEADERS: dict[str, Callable[[int], bytes]] = {
    "WAV": _riff(b"RIFF", "<"),
    "RIFX": _riff(b"RIFX", ">"),
    "extensible WAV": _extensible,
    "RF64": _long(b"RF64"),
    "BW64": _long(b"BW64"),
    "W64": _w64,
    "AU": _au,
    "CAF": _caf,
    "AIFF": _aiff,
    "AIFC": lambda stated: _aiff(stated, kind=b"sowt"),
    "AIFF with an offset": lambda stated: _aiff(stated, offset=12),
    "NIST": _nist,
}
"""What writes a header that states so many bytes of samples, by the name of the container."""

BIG_ENDIAN = frozenset(["RIFX", "AU", "CAF", "AIFF", "AIFF with an offset"])


def body(name: str) -> bytes:
    """Return the bytes of the samples as a container codes them."""
    return samples().astype(">i2" if name in BIG_ENDIAN else "<i2").tobytes()


def chunk_behind(name: str) -> bytes:
    """Return a chunk as may stand behind the samples of a container; nothing where none may."""
    note = b"a note of some words"
    if name == "W64":
        return b"bext" + _GUID + struct.pack("<Q", 24 + len(note)) + note + bytes(4)
    if name == "CAF":
        return b"info" + struct.pack(">q", len(note)) + note
    if name in ("AU", "NIST"):
        return b""
    return _chunk(
        b"LIST" if name != "AIFF" else b"ANNO",
        note,
        ">" if name in ("RIFX", "AIFF", "AIFC", "AIFF with an offset") else "<",
    )
