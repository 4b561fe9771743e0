"""Parsers of AIFF, AIFC and Core Audio files."""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.container import Container, cut_short, damaged, goes_on
from featbank.audio.containers.measuring import (
    UNKNOWN_TO_SOX,
    Coding,
    Header,
    is_unknown,
    length_of_samples,
    measured,
)
from featbank.audio.containers.trailing import Chunks

_COMM_BYTES = 22
_UNKNOWN_TO_SOX = (*UNKNOWN_TO_SOX, 0x7F000000)
_PCM = {1: "PCM_S8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
# the compression types of AIFC that give each sample a width of its own
_PLAIN = {
    b"sowt": ("LITTLE", None),
    b"twos": ("BIG", None),
    b"NONE": ("BIG", None),
    b"in24": ("BIG", "PCM_24"),
    b"in32": ("BIG", "PCM_32"),
    b"42ni": ("LITTLE", "PCM_24"),
    b"23ni": ("LITTLE", "PCM_32"),
    b"raw ": ("BIG", "PCM_U8"),
    b"fl32": ("BIG", "FLOAT"),
    b"FL32": ("BIG", "FLOAT"),
    b"fl64": ("BIG", "DOUBLE"),
    b"FL64": ("BIG", "DOUBLE"),
    b"ulaw": ("BIG", "ULAW"),
    b"ULAW": ("BIG", "ULAW"),
    b"alaw": ("BIG", "ALAW"),
    b"ALAW": ("BIG", "ALAW"),
}
_WIDTHS = {"PCM_U8": 1, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1}
_IN_BLOCKS = (b"DWVW", b"GSM ", b"ima4")  # that libsndfile decodes
_CAF_FLOAT, _CAF_LITTLE = 1, 2


def aiff(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Parse an AIFF or AIFC file of `size` bytes.

    Raises:
        AudioError: it lacks what it needs, is cut short, goes on behind what it states, or states
            two lengths.
    """
    file.seek(8)
    is_compressed = file.read(4) == b"AIFC"
    chunks = Chunks(">", "I")
    common, sound = b"", None
    for chunk in chunks.walk(file, 12, size):
        if chunk.name == b"COMM":
            common = file.read(min(chunk.length, _COMM_BYTES))
        elif chunk.name == b"SSND" and sound is None:
            sound = chunk.start, chunk.length, file.read(8)
        if sound and common:
            break
    if sound is None:
        raise cut_short(path, "a SSND chunk", "the end of the file")
    if len(common) < (_COMM_BYTES if is_compressed else _COMM_BYTES - 4):
        raise damaged(path, "a COMM chunk", f"{len(common)} bytes of one")
    start, length, places = sound
    offset, block = struct.unpack(">II", places.ljust(8, b"\0"))
    if 0 < length < 8 + offset:
        raise damaged(path, f"a SSND chunk of {8 + offset} bytes at least", length)
    channels, frames, bits = struct.unpack(">HIH", common[:8])
    kind = common[18:22] if is_compressed else b"NONE"
    stated = length if is_unknown(length) else max(0, length - 8 - offset)
    header = Header(
        start=start + 8 + offset, stated=stated, channels=channels,
        sample_rate=_extended(common[8:18]), coding=_aiff_coding(kind, bits), chunks=chunks,
        length_at=start - 4, length_extra=8 + offset, order=">", unknown_to_sox=_UNKNOWN_TO_SOX,
    )  # fmt: skip
    if header.coding:
        counted = 0 if is_unknown(frames) else frames * header.coding.width * channels
        header = _of_two_lengths(path, header, counted, block)
    elif kind not in _IN_BLOCKS:
        length_of_samples(path, file, size, header)
        return Container(name="AIFF", demuxer="aiff")
    return measured(path, file, size, header, name="AIFF")


def _of_two_lengths(path: str | Path, header: Header, counted: int, block: int) -> Header:
    """Return a header with one length: the bytes of its samples, and their number, must agree.

    Where one of them is none, or the length has wrapped at 32 bits, the other stands.
    """
    stated = header.stated
    frame = max(1, header.channels * (header.coding.width if header.coding else 1))
    if counted == 0 or is_unknown(counted, _UNKNOWN_TO_SOX) or 0 <= stated - counted < frame:
        return header
    if stated == 0 or header.is_unknown or counted > stated:
        return replace(header, stated=counted)
    if stated - counted < block:  # filled up to whole blocks
        return replace(header, stated=counted)
    raise goes_on(path, f"{counted} bytes of samples by their number", f"{stated} in their chunk")


def _aiff_coding(kind: bytes, bits: int) -> Coding | None:
    if kind not in _PLAIN:
        return None
    endian, subtype = _PLAIN[kind]
    width = _WIDTHS[subtype] if subtype else (bits + 7) // 8
    subtype = subtype or _PCM.get(width)
    return Coding(subtype=subtype, width=width, endian=endian) if subtype else None


def _extended(number: bytes) -> int:
    """Read an 80-bit floating-point number, as a whole one."""
    exponent, mantissa = struct.unpack(">HQ", number)
    shift = 16383 + 63 - (exponent & 0x7FFF)
    return int(mantissa >> shift) if 0 <= shift < 64 else 0


def caf(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Parse a Core Audio file of `size` bytes.

    Raises:
        AudioError: it lacks what it needs, is cut short, or goes on behind what it states.
    """
    chunks = Chunks(">", "q", alignment=1)
    description = b""
    for chunk in chunks.walk(file, 8, size):
        if chunk.name == b"desc":
            description = file.read(32)
        elif chunk.name == b"data":
            break
    else:
        raise cut_short(path, "a data chunk", "the end of the file")
    _, start, length = chunk
    if len(description) < 32:
        raise damaged(path, "a desc chunk in front of the data", "none")
    if length < -1 or 0 < length < 4:
        raise damaged(path, "a data chunk of 4 bytes at least", length)
    rate, kind, flags, packet, _, channels, bits = struct.unpack(">d4s5I", description)
    unknown = length == -1 or is_unknown(length)
    header = Header(
        start=start + 4, stated=(1 << 64) - 1 if unknown else max(0, length - 4),
        channels=channels, sample_rate=int(rate) if 0 < rate < 2**31 else 0,
        coding=_caf_coding(kind, flags, packet // channels if channels else 0, bits),
        chunks=chunks,
    )  # fmt: skip
    if kind not in (b"lpcm", b"ulaw", b"alaw"):
        if not unknown:
            _refuse_a_cut_table(path, file, size, start + length, chunks)
        length_of_samples(path, file, size, header)
        return Container(name="CAF", demuxer="caf")
    return measured(path, file, size, header, name="CAF")


def _refuse_a_cut_table(
    path: str | Path, file: BufferedReader, size: int, at: int, chunks: Chunks
) -> None:
    """Refuse a table of packets, behind the samples at `at`, that is not all there."""
    if (
        at < size
        and (chunk := chunks.at(file, at))
        and chunk[0] == b"pakt"
        and sum(chunk[1:]) > size
    ):
        raise cut_short(path, f"{chunk[2]} bytes of a pakt chunk", size - chunk[1])


def _caf_coding(kind: bytes, flags: int, width: int, bits: int) -> Coding | None:
    endian = "LITTLE" if flags & _CAF_LITTLE else "BIG"
    if kind in (b"ulaw", b"alaw"):
        subtype: str | None = kind.decode().upper()
    elif kind != b"lpcm" or bits > 8 * width:
        return None
    elif flags & _CAF_FLOAT:
        subtype = {4: "FLOAT", 8: "DOUBLE"}.get(width)
    else:
        subtype = _PCM.get(width)
    return Coding(subtype=subtype, width=max(1, width), endian=endian) if subtype else None
