"""Parsers of WAV (RIFF, RIFX, RF64, BW64) and Sony Wave64, which describe samples alike."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.container import Container, cut_short, damaged
from featbank.audio.containers.measuring import (
    Coding,
    Header,
    is_unknown,
    length_of_samples,
    measured,
    mended_length,
)
from featbank.audio.containers.trailing import Chunks

_IN_DS64 = 0xFFFFFFFF  # the length of a chunk whose real one stands in a chunk `ds64`
_FORM_BYTES = 40
_W64_CHUNK = 24  # bytes of a name and a length
_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
# of the GUID of an extensible format, behind the tag: as Microsoft has it, and for Ambisonics
_GUIDS = (
    bytes.fromhex("000000001000800000aa00389b71"),
    bytes.fromhex("000021 07d311 8644 c8c1ca000000"),
)
# in blocks: ADPCM of Microsoft and of IMA, GSM 6.10, ADPCM of NMS, G.721
_OF_LIBSNDFILE = (2, 0x11, 0x31, 0x38, 0x40)
_OF_LIBSNDFILE_IN_W64 = (2, 0x11, 0x31)
# a decoder may leave out what an encoder has put in front, which the stated length may count
_DELAY = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """A `fmt ` chunk."""

    tag: int
    channels: int
    sample_rate: int
    block: int
    bits: int

    @property
    def coding(self) -> Coding | None:
        """How samples are coded, where each has a width of its own."""
        width = self.block // max(1, self.channels)
        subtype = {
            _PCM: {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"},
            _FLOAT: {4: "FLOAT", 8: "DOUBLE"},
            _ALAW: {1: "ALAW"},
            _MULAW: {1: "ULAW"},
        }.get(self.tag, {}).get(width)
        return Coding(subtype=subtype, width=width) if subtype else None

    @property
    def is_contradiction(self) -> bool:
        """Whether samples of a width of their own do not make up the block that is stated."""
        if self.tag not in (_PCM, _FLOAT, _ALAW, _MULAW):
            return False
        bits = self.bits if self.tag in (_PCM, _FLOAT) else 8
        widths = {(bits + 7) // 8, 4 if bits == 24 else 0} - {0}
        return not self.channels or self.block not in {self.channels * one for one in widths}


def wav(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Parse a RIFF, RIFX, RF64 or BW64 file of `size` bytes.

    Raises:
        AudioError: it lacks what it needs, is cut short, or goes on behind what it states.
    """
    file.seek(0)
    magic = file.read(4)
    order = ">" if magic == b"RIFX" else "<"
    chunks = Chunks(order, "I")
    form, long_length, fact = None, None, 0
    for chunk in chunks.walk(file, 12, size):
        if chunk.name == b"ds64":
            _, long_length = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
        elif chunk.name == b"fmt ":
            form = _form(file.read(min(chunk.length, _FORM_BYTES)), order)
        elif chunk.name == b"fact":
            fact = int.from_bytes(file.read(4), "little" if order == "<" else "big")
        elif chunk.name == b"data":
            break
    else:
        raise cut_short(path, "a data chunk", "the end of the file")
    _, start, length = chunk
    if form is None:
        raise damaged(path, "a fmt chunk in front of the data", "none")
    is_long = length == _IN_DS64 and long_length is not None
    header = Header(
        start=start, stated=long_length if is_long and long_length is not None else length,
        channels=form.channels, sample_rate=form.sample_rate, coding=form.coding, chunks=chunks,
        length_at=0 if is_long else start - 4, order=order,
    )  # fmt: skip
    if header.coding and order == ">":
        header = replace(header, coding=replace(header.coding, endian="BIG"))
    in_blocks = () if magic in (b"RF64", b"BW64") else _OF_LIBSNDFILE
    container = _decodable(path, file, size, header, form, in_blocks, ("WAV", "wav"), fact)
    if magic == b"BW64" and not container.demuxer:  # libsndfile knows no such file, but its samples
        if container.samples is None:
            return replace(container, demuxer="wav")
        return replace(container, samples=replace(container.samples, is_stated=False))
    return container


def w64(path: str | Path, file: BufferedReader, size: int) -> Container:
    """Parse a Sony Wave64 file, whose chunks have GUIDs; else see `wav`."""
    chunks = Chunks("<", "Q", name_bytes=16, counts_itself=True, alignment=8)
    form, fact = None, 0
    for chunk in chunks.walk(file, 40, size):
        if chunk.name == b"fmt ":
            form = _form(file.read(min(max(0, chunk.length), _FORM_BYTES)), "<")
        elif chunk.name == b"fact":
            fact = int.from_bytes(file.read(8), "little")
        elif chunk.name == b"data":
            break
    else:
        raise cut_short(path, "a data chunk", "the end of the file")
    _, start, length = chunk
    if form is None:
        raise damaged(path, "a fmt chunk in front of the data", "none")
    whole = length + _W64_CHUNK
    if 0 < whole < _W64_CHUNK:
        raise damaged(path, f"a data chunk of {_W64_CHUNK} bytes at least", whole)
    header = Header(
        start=start, stated=whole if is_unknown(whole) else max(0, length), channels=form.channels,
        sample_rate=form.sample_rate, coding=form.coding, chunks=chunks,
        length_at=start - 8, length_bytes=8, length_extra=_W64_CHUNK,
    )  # fmt: skip
    return _decodable(path, file, size, header, form, _OF_LIBSNDFILE_IN_W64, ("W64", "w64"), fact)


def _form(data: bytes, order: str) -> _Form | None:
    """Read a `fmt ` chunk; None where it is cut short."""
    if len(data) < 16:
        return None
    tag, channels, sample_rate, _, block, bits = struct.unpack(f"{order}HHIIHH", data[:16])
    if tag == _EXTENSIBLE and data[26:40] in _GUIDS:
        [tag] = struct.unpack(f"{order}H", data[24:26])
    return _Form(tag=tag, channels=channels, sample_rate=sample_rate, block=block, bits=bits)


def _decodable(
    path: str | Path,
    file: BufferedReader,
    size: int,
    header: Header,
    form: _Form,
    in_blocks: tuple[int, ...],
    names: tuple[str, str],
    fact: int,
) -> Container:
    """Choose who decodes by the tag of the format; `fact` is the length that is stated for it."""
    name, demuxer = names
    if form.is_contradiction:
        raise damaged(
            path,
            "whole samples in each block",
            f"{form.channels} channels of {form.bits} bits in {form.block} bytes",
        )
    if form.coding or form.tag in in_blocks:
        return measured(path, file, size, header, name=name)
    length = length_of_samples(path, file, size, header)
    if length != header.stated and header.start + length != size:
        raise damaged(path, f"{header.stated} bytes of samples", length)
    least = 0 if is_unknown(fact) else max(0, fact - _DELAY)
    return Container(
        name=name,
        demuxer=demuxer,
        # else ffmpeg takes the end of the file for a damage
        mended=mended_length(header, length) if length != header.stated else (),
        least_s=Fraction(least, max(1, form.sample_rate)),
    )
