"""Formats of audio files that are read: how each is detected, checked and decoded.

libsndfile returns what is left of a truncated WAV, AIFF, AU, NIST or Ogg file without an error, and
counts it as the whole; ffmpeg may only warn. Neither looks behind what a header states. So what is
written in the container is compared with the file here, both ways. The lengths of FLAC and MP3
are held against what decodes, and what is behind them is looked for.

Who decodes follows from the codec, not from the container: libsndfile where it knows it, as a
table of each container says, else ffmpeg.

What nobody can see is a file cut between two of its frames where no header states a length: a
streamed FLAC without MD5, an MP3 without a length header, AAC without a container, AMR, a
fragmented MP4, a Matroska file of unknown size, any G.722, and samples whose header says that
their writer did not know how many there would be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.apple import aiff, caf
from featbank.audio.containers.au import au
from featbank.audio.containers.boxed import ASF, EBML, asf, matroska, mp4
from featbank.audio.containers.container import Container
from featbank.audio.containers.flac import flac
from featbank.audio.containers.framed import adts, amr, amr_wb
from featbank.audio.containers.mp3 import mp3
from featbank.audio.containers.ogg import ogg
from featbank.audio.containers.riff import w64, wav
from featbank.audio.containers.sphere import nist
from featbank.audio.containers.tags import skip_tags
from featbank.base.places import audio_suffix
from featbank.errors import AudioError

_Look = Callable[[str | Path, BufferedReader, int], Container]

_HEAD = 32


@dataclass(frozen=True, slots=True)
class _Kind:
    """A container by name, the bytes that tell it (at `offset`), and what looks through it."""

    name: str
    magics: tuple[bytes, ...]
    look: _Look
    offset: int = 0


def check_container(
    path: str | Path, file: BufferedReader, tolerate: Collection[str] = ()
) -> Container:
    """Detect the format of an open file; refuse it when it holds more or less than it states.

    Args:
        path: of the file, for messages.
        file: open, at its start.
        tolerate: what is taken that is refused by default.

    Raises:
        AudioError: it is no audio of a known kind, cut short, contradicts itself, or goes on behind
            what it states, with what was expected and got.
        OSError: the machine failed, not the file.
    """
    head = file.read(_HEAD)
    if not head:
        raise AudioError(f"audio {path}", kind="empty", expected="audio", got="an empty file")
    kind = _kind_behind_tags(file) if head.startswith(b"ID3") else _kind(path, head)
    look = partial(ogg, tolerate=tolerate) if kind is _OGG else kind.look
    return look(path, file, os.fstat(file.fileno()).st_size)


def _kind(path: str | Path, head: bytes) -> _Kind:
    for kind in _KINDS:
        if head.startswith(kind.magics, kind.offset):
            break
    else:
        if audio_suffix(os.fspath(path)) == ".g722":  # it has no header
            return _G722
        raise AudioError(
            f"audio {path}",
            kind="unknown_format",
            expected=f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}",
            got=f"a file that begins with {head[:4]!r}",
        )
    if (forms := _FORMS.get(head[:4])) and head[8:12] not in forms:
        raise AudioError(
            f"audio {path}",
            kind="unknown_format",
            expected=" or ".join(known.decode() for known in forms),
            got=f"{head[:4].decode()} with {head[8:12]!r} in it",
        )
    return kind


def _kind_behind_tags(file: BufferedReader) -> _Kind:
    """Tell what an ID3 tag stands before: MP3, where nothing else is seen."""
    skip_tags(file)
    head = file.read(_HEAD)
    for kind in (_FLAC, _ADTS):
        if head.startswith(kind.magics):
            return kind
    return _MP3


def _g722(_: str | Path, __: BufferedReader, ___: int) -> Container:
    return Container(name="G.722", demuxer="g722")


_FLAC = _Kind("FLAC", (b"fLaC",), flac)
# MPEG frames begin with eleven set bits
_MP3 = _Kind(
    "MP3", (b"\xff\xe2", b"\xff\xe3", b"\xff\xf2", b"\xff\xf3", b"\xff\xfa", b"\xff\xfb"), mp3
)
_OGG = _Kind("Ogg (Opus, Vorbis)", (b"OggS",), partial(ogg, tolerate=()))
_ADTS = _Kind("AAC", (b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9"), adts)
_G722 = _Kind("G.722", (), _g722)

_KINDS = (
    _FLAC,
    _Kind("WAV", (b"RIFF", b"RF64", b"BW64", b"RIFX"), wav),
    _OGG,
    _MP3,
    _Kind("W64", (b"riff\x2e\x91\xcf\x11",), w64),
    _Kind("AIFF", (b"FORM",), aiff),
    _Kind("CAF", (b"caff",), caf),
    _Kind("AU", (b".snd",), au),
    _Kind("NIST", (b"NIST",), nist),
    _Kind("MP4", (b"ftyp",), mp4, 4),
    _ADTS,
    _Kind("Matroska", (EBML,), matroska),
    _Kind("WMA", (ASF,), asf),
    _Kind("AMR", (b"#!AMR\n",), amr),
    _Kind("AMR", (b"#!AMR-WB\n",), amr_wb),
)
_NAMES = list(dict.fromkeys(kind.name for kind in (*_KINDS, _G722)))

# the containers that hold more than audio: what stands in them when they do hold audio
_FORMS = {
    b"RIFF": (b"WAVE",),
    b"RF64": (b"WAVE",),
    b"BW64": (b"WAVE",),
    b"RIFX": (b"WAVE",),
    b"FORM": (b"AIFF", b"AIFC"),
}
