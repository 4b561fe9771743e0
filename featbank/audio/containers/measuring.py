"""Length of a file's samples in bytes, where its header may state more or less than there is.

The rule, for S bytes stated and R from the first sample to the end of the file:

- S < R: what trails is chunks, tags or a little padding, then S is right; or S has wrapped at 32
  bits (a WAV of over 4 GiB); or S is no length but what a program writes that does not know it;
  else nobody knows which sound is the file's, and it is refused.
- S > R: S is what such a program writes, and the samples go on to the end; else the file is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Literal

from featbank.audio.containers.container import Container, PlainSamples, cut_short, damaged, goes_on
from featbank.audio.containers.trailing import Chunks, is_no_sound

_WRAP = 1 << 32
# what programs write into a header that they cannot seek back to; sox rounds its own down
_UNKNOWN = frozenset([0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFF000, (1 << 63) - 1, (1 << 64) - 1])
_ROUNDED = 4096
_MOST_CHANNELS, _MOST_RATE = 1024, (1 << 31) - 1  # of libsndfile

UNKNOWN_TO_SOX = (0x7FFFF000,)
"""What sox writes for no known length, rounded down to whole samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """Coding of samples of a fixed width; see `PlainSamples`."""

    subtype: str
    width: int
    endian: str = "LITTLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Fields of a file's header that describe its samples.

    Args:
        start: byte at which they begin.
        stated: bytes of them.
        channels, sample_rate: of them.
        coding: where each sample has a width of its own; None in blocks, or compressed.
        chunks: that may follow on the samples, if any.
        length_at: where a length stands that may be mended; 0 for nowhere.
        length_bytes: of that.
        length_extra: what that counts beside the samples.
        order: of its bytes.
        unknown_to_sox: what sox writes here for no known length.
    """

    start: int
    stated: int
    channels: int
    sample_rate: int
    coding: Coding | None
    chunks: Chunks | None = None
    length_at: int = 0
    length_bytes: int = 4
    length_extra: int = 0
    order: str = "<"
    unknown_to_sox: tuple[int, ...] = UNKNOWN_TO_SOX

    @property
    def is_unknown(self) -> bool:
        """Whether the length stated is a placeholder, of a program that did not know the length."""
        return is_unknown(self.stated, self.unknown_to_sox)


def is_unknown(stated: int, unknown_to_sox: tuple[int, ...] = UNKNOWN_TO_SOX) -> bool:
    """Tell whether a length in bytes is a placeholder, of a program that did not know it."""
    return stated in _UNKNOWN or any(0 <= sox - stated <= _ROUNDED for sox in unknown_to_sox)


def length_of_samples(path: str | Path, file: BufferedReader, size: int, header: Header) -> int:
    """Return how many bytes of samples a file of `size` bytes holds.

    Raises:
        AudioError: it is cut short, or goes on behind what it states.
    """
    stated, there = header.stated, max(0, size - header.start)
    if stated > there:
        if header.is_unknown:
            return there
        raise cut_short(path, f"{stated} bytes of samples", there)
    for length in (stated, stated + ((there - stated) // _WRAP) * _WRAP):
        end = header.start + length
        places = {end, _behind_padding(file, header, length)}
        if any(is_no_sound(file, at, size, header.chunks) for at in places):
            return length
    if stated == 0 or header.is_unknown:
        return there
    raise goes_on(path, f"{stated} bytes of samples", there)


def _behind_padding(file: BufferedReader, header: Header, length: int) -> int:
    """Return where what follows on the samples begins: padding is zeros.

    One byte of it may be anything where the samples before it are whole.
    """
    end = header.start + length
    padded = header.chunks.behind(header.start, length) if header.chunks else end
    frame = header.coding.width * header.channels if header.coding else 1
    if padded - end == 1 and length % max(1, frame) == 0:
        return padded
    file.seek(end)
    return end if any(file.read(padded - end)) else padded


def measured(
    path: str | Path, file: BufferedReader, size: int, header: Header, *, name: str
) -> Container:
    """Return the container of a file: decoded by its header, or by its samples as they stand.

    Raises:
        AudioError: it is cut short, or goes on behind what it states.
    """
    length = length_of_samples(path, file, size, header)
    is_stated = length == header.stated != 0
    if length != header.stated:
        _refuse_a_second_header(path, file, header)
    coding = header.coding
    if coding and 0 < header.channels <= _MOST_CHANNELS and 0 < header.sample_rate <= _MOST_RATE:
        samples = PlainSamples(
            start=header.start, length=length, is_stated=is_stated, subtype=coding.subtype,
            endian=coding.endian, width=coding.width, channels=header.channels,
            sample_rate=header.sample_rate,
        )  # fmt: skip
        return Container(name=name, samples=samples)
    if length == header.stated:
        return Container(name=name)
    mended = mended_length(header, length)
    if not mended:
        raise goes_on(path, f"{header.stated} bytes of samples in blocks", length)
    return Container(name=name, mended=mended)


def mended_length(header: Header, length: int) -> tuple[tuple[int, bytes], ...]:
    """Return the bytes to patch in a header so that it states a length; none where impossible."""
    stated = length + header.length_extra
    order: Literal["little", "big"] = "little" if header.order == "<" else "big"
    if not header.length_at or stated >= 1 << 8 * header.length_bytes:
        return ()
    return ((header.length_at, stated.to_bytes(header.length_bytes, order)),)


def _refuse_a_second_header(path: str | Path, file: BufferedReader, header: Header) -> None:
    """Refuse what a program leaves that wrote its header again in front of the samples."""
    file.seek(0)
    magic = file.read(4)
    file.seek(header.start)
    if file.read(4) == magic:
        raise damaged(path, "samples behind its header", "a header once more")
