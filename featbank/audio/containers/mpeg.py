"""Frames of MP3 files: where they are, how many, and how many the first of them states.

Encoders put a count of the frames into a first frame without sound, named Xing, Info or VBRI.
Between the frames of several files in a row stand their tags. A frame's header tells its length
(ISO 11172-3, 2.4.1.3), so that going through them takes a step of some hundred bytes each.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedReader

from featbank.audio.containers.tags import skip_tags, tag_length
from featbank.files.disk import read_at

_LAYER_III, _MPEG_1, _MONO = 0b01, 0b11, 0b11
_KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_RATES = {
    0b11: (44_100, 48_000, 32_000),  # MPEG 1
    0b10: (22_050, 24_000, 16_000),  # MPEG 2
    0b00: (11_025, 12_000, 8000),  # MPEG 2.5
}
_HAS_FRAMES, _HAS_BYTES = 1, 2
_HEAD = 64  # bytes, in which a count stands
_VBRI = 36  # where Fraunhofer's count stands in its frame
_PIECE = 8 << 20  # bytes read at a time
_SYNC = re.compile(b"\xff[\xe0-\xff]")


@dataclass(frozen=True, slots=True)
class Form:
    """Header fields that all frames of an MPEG stream share.

    Args:
        version: of MPEG, in its header's two bits.
        sample_rate: in Hz.
        is_mono: whether there is one channel, else two.
    """

    version: int
    sample_rate: int
    is_mono: bool

    @property
    def frame_s(self) -> Fraction:
        """Length of a frame, in seconds."""
        return Fraction(1152 if self.version == _MPEG_1 else 576, self.sample_rate)

    def __str__(self) -> str:
        """Say it for messages."""
        return f"{self.sample_rate} Hz {'mono' if self.is_mono else 'stereo'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MpegFrames:
    """The frames found in an MP3 file, and the number that the first of them states.

    Args:
        form: of the first; None where the file begins with none of layer III.
        layer: of the first; 0 for no frame.
        counted: how many the first counts; None if it counts none.
        counted_bytes: of them and the first itself; None if it counts none.
        counter: the name of that count: Xing, Info or VBRI.
        number: of whole ones.
        parts: first byte, and the one behind the last, of each unbroken row.
        lacking: bytes that the last lacks.
        garbage: where something begins that is neither frame nor tag, or -1.
        behind: what comes behind that or in between, if it is sound: "frames", or another form.
    """

    form: Form | None = None
    layer: int = 0
    counted: int | None = None
    counted_bytes: int | None = None
    counter: str = ""
    number: int = 0
    parts: tuple[tuple[int, int], ...] = ()
    lacking: int = 0
    garbage: int = -1
    behind: str = ""


def frames_of(file: BufferedReader, size: int) -> MpegFrames:
    """Find the frames of an MP3 file of `size` bytes, skipping the tags between them."""
    at = _behind_zeros(file, skip_tags(file), size)
    file.seek(at)
    head = file.read(_HEAD)
    form = _form(head)
    if form is None or not _length(head, form):
        layer = 4 - (head[1] >> 1 & 3) if _is_frame(head) else 0
        return MpegFrames(layer=layer, form=form)
    counter, counted, counted_bytes = _count(head, form)
    lengths = _lengths(form)
    number, parts = 0, []
    lacking, garbage, behind = 0, -1, ""
    while at < size:
        begin = at
        steps, at = _row(file.fileno(), at, size, lengths, form.is_mono)
        number += steps
        if at > size:
            lacking, number = at - size, number - 1
        if at > begin:
            parts.append((begin, min(at, size)))
        next_at = _behind_zeros(file, at, size)
        next_at += tag_length(file, next_at, size) if next_at < size else 0
        if next_at == at < size:  # neither a frame nor a tag
            garbage, behind = at, _sound_behind(file, at, size, form)
            break
        at = max(at, next_at)
    return MpegFrames(
        form=form,
        layer=3,
        counted=counted,
        counted_bytes=counted_bytes,
        counter=counter,
        number=number,
        parts=tuple(parts),
        lacking=lacking,
        garbage=garbage,
        behind=behind,
    )


def _row(descriptor: int, at: int, size: int, lengths: list[int], is_mono: bool) -> tuple[int, int]:
    """Step from frame to frame: return how many there are from `at` on, and where they end."""
    number = 0
    while at <= size - 4:
        data = read_at(descriptor, _PIECE, at)
        step, last = 0, len(data) - 4
        while step <= last and data[step] == 0xFF:
            length = lengths[data[step + 1] << 8 | data[step + 2]]
            if not length or (data[step + 3] >> 6 == _MONO) != is_mono:
                break
            step += length
            number += 1
        at += step
        if step <= last or step == 0:
            break
    return number, at


def _sound_behind(file: BufferedReader, at: int, size: int, form: Form) -> str:
    """Say what sound there is from `at` on: two frames in a row of one form."""
    while at < size:
        data = read_at(file.fileno(), _PIECE, at)
        for found in _SYNC.finditer(data):
            head = data[found.start() : found.start() + 4]
            other = _form(head)
            if other is None or not (length := _length(head, other)):
                continue
            after = read_at(file.fileno(), 4, at + found.start() + length)
            if _form(after) == other and _length(after, other):
                return "frames" if other == form else str(other)
        at += max(len(data) - 3, 1) if len(data) == _PIECE else size
    return ""


def _behind_zeros(file: BufferedReader, at: int, size: int) -> int:
    while at < size:
        data = read_at(file.fileno(), _PIECE, at)
        if rest := data.lstrip(b"\0"):
            return at + len(data) - len(rest)
        if not data:
            break
        at += len(data)
    return at


def _is_frame(head: bytes) -> bool:
    return len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def _form(head: bytes) -> Form | None:
    """Return the form of a frame of layer III by its header; None for anything else."""
    if not _is_frame(head) or head[1] >> 1 & 3 != _LAYER_III:
        return None
    version, rate = head[1] >> 3 & 3, head[2] >> 2 & 3
    if version not in _RATES or rate == 3:
        return None
    return Form(version, _RATES[version][rate], head[3] >> 6 == _MONO)


def _length(head: bytes, form: Form) -> int:
    """Return the bytes of a frame; 0 where its header leaves that open."""
    is_mpeg_1 = form.version == _MPEG_1
    kbits = _KBITS[is_mpeg_1][head[2] >> 4]
    return kbits and (144_000 if is_mpeg_1 else 72_000) * kbits // form.sample_rate + (
        head[2] >> 1 & 1
    )


def _lengths(form: Form) -> list[int]:
    """Return the bytes of a frame by the second and third byte of its header; 0 for none."""
    lengths = [0] * (1 << 16)
    for protected in (0, 1):
        second = 0xE0 | form.version << 3 | _LAYER_III << 1 | protected
        for third in range(256):
            head = bytes([0xFF, second, third, _MONO << 6 if form.is_mono else 0])
            if _form(head) == form:
                lengths[second << 8 | third] = _length(head, form)
    return lengths


def _count(head: bytes, form: Form) -> tuple[str, int | None, int | None]:
    """Return the name of the count that a first frame holds, and the frames and bytes it counts."""
    is_mpeg_1 = form.version == _MPEG_1
    side = (17 if is_mpeg_1 else 9) if form.is_mono else (32 if is_mpeg_1 else 17)
    for at in (4 + side, 6 + side):  # behind the side information; a checksum may be in front
        name, fields = head[at : at + 4], head[at + 8 :]
        if name in (b"Xing", b"Info"):
            counts: list[int | None] = []
            for flag in (_HAS_FRAMES, _HAS_BYTES):
                if head[at + 7] & flag:
                    counts.append(int.from_bytes(fields[:4], "big"))
                    fields = fields[4:]
                else:
                    counts.append(None)
            return name.decode(), counts[0], counts[1]
    if head[_VBRI : _VBRI + 4] == b"VBRI":
        num_bytes, num_frames = struct.unpack(">II", head[_VBRI + 10 : _VBRI + 18])
        return "VBRI", num_frames, num_bytes
    return "", None, None
