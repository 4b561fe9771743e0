"""The kinds of audio file that are read: how each is told, what it promises, and who decodes it.

libsndfile returns what is left of a truncated WAV, AIFF, AU, NIST or Ogg file without an error, and
counts it as the whole; ffmpeg may only warn. So the length written in the container is compared
with the file here. FLAC and MP3 need no such check: their decoders claim the length in the header,
and the decoded length is compared with that. An MP3 without one is for ffmpeg (see `mpeg`).

What nobody can see is a file cut between two of its frames where no header states a length: a
streamed FLAC without MD5, an MP3 without a length header, AAC without a container, AMR, a
fragmented MP4, a Matroska file of unknown size, and any G.722.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from featbank.containers import boxed, chunked, framed
from featbank.containers.mpeg import is_uncounted
from featbank.containers.ogg import is_for_ffmpeg
from featbank.containers.tags import skip_tags
from featbank.errors import AudioError

Missing = Callable[[BufferedReader, int], tuple[str, str] | None]
"""Given a file and its size: what it promises and what is there, where that is less."""

_HEAD = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A kind of audio file.

    Args:
        name: as people call it.
        demuxer: of ffmpeg, for what libsndfile does not decode; else empty.
    """

    name: str
    demuxer: str = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A container, the bytes that tell it (at `offset`), and its check."""

    container: Container
    magics: tuple[bytes, ...]
    missing: Missing
    offset: int = 0


def check_container(path: str | Path, file: BufferedReader) -> Container:
    """Say what an open file is, and refuse it when it is no audio of a known kind, or cut short.

    Raises:
        AudioError: with what was expected and got.
        OSError: the machine failed, not the file.
    """
    head = file.read(_HEAD)
    if not head:
        raise AudioError(f"audio {path}", kind="empty", expected="audio", got="an empty file")
    kind = _kind_behind_tags(file) if head.startswith(b"ID3") else _kind(path, head)
    if kind is _MP3 and is_uncounted(file):
        kind = _MP3_OF_FFMPEG
    size = os.fstat(file.fileno()).st_size
    if kind is _OGG and is_for_ffmpeg(file, size):
        kind = _OGG_OF_FFMPEG
    if problem := kind.missing(file, size):
        expected, got = problem
        raise AudioError(f"audio {path} is cut short", kind="truncated", expected=expected, got=got)
    return kind.container


def _kind(path: str | Path, head: bytes) -> _Kind:
    for kind in _KINDS:
        if head.startswith(kind.magics, kind.offset):
            break
    else:
        if Path(path).suffix.lower() == ".g722":  # it has no header
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
    if kind.container is _CAF and head[28:32] not in _CAF_OF_LIBSNDFILE:
        return _CAF_OF_FFMPEG
    return kind


def _kind_behind_tags(file: BufferedReader) -> _Kind:
    """Tell what an ID3 tag stands before: MP3, where nothing else is seen."""
    at = skip_tags(file)
    head = file.read(_HEAD)
    for kind in (_FLAC, _ADTS):
        if head.startswith(kind.magics):
            file.seek(at)
            return kind
    return _MP3


def _nothing_missing(_: BufferedReader, __: int) -> None:
    return None


_CAF = Container(name="CAF")
# the codecs that libsndfile decodes in a CAF; AAC, Opus or ALAC in one are for ffmpeg
_CAF_OF_LIBSNDFILE = (b"lpcm", b"ulaw", b"alaw")
_CAF_OF_FFMPEG = _Kind(Container(name="CAF", demuxer="caf"), (b"caff",), chunked.caf_missing)
_FLAC = _Kind(Container(name="FLAC"), (b"fLaC",), _nothing_missing)
# MPEG frames begin with eleven set bits
_MP3 = _Kind(
    Container(name="MP3"),
    (b"\xff\xe2", b"\xff\xe3", b"\xff\xf2", b"\xff\xf3", b"\xff\xfa", b"\xff\xfb"),
    _nothing_missing,
)
_OGG = _Kind(Container(name="Ogg (Opus, Vorbis)"), (b"OggS",), framed.ogg_missing)
_OGG_OF_FFMPEG = _Kind(Container(name="Ogg", demuxer="ogg"), (), framed.ogg_missing)
_MP3_OF_FFMPEG = _Kind(Container(name="MP3", demuxer="mp3"), (), _nothing_missing)
_ADTS = _Kind(
    Container(name="AAC", demuxer="aac"),
    (b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9"),
    framed.adts_missing,
)
_G722 = _Kind(Container(name="G.722", demuxer="g722"), (), _nothing_missing)

_KINDS = (
    _FLAC,
    _Kind(Container(name="WAV"), (b"RIFF", b"RF64"), chunked.wav_missing),
    _OGG,
    _MP3,
    _Kind(Container(name="WAV"), (b"RIFX",), chunked.big_endian_wav_missing),
    _Kind(Container(name="W64"), (b"riff\x2e\x91\xcf\x11",), chunked.w64_missing),
    _Kind(Container(name="AIFF"), (b"FORM",), chunked.aiff_missing),
    _Kind(_CAF, (b"caff",), chunked.caf_missing),
    _Kind(Container(name="AU"), (b".snd",), chunked.au_missing),
    _Kind(Container(name="NIST"), (b"NIST",), chunked.nist_missing),
    _Kind(Container(name="MP4", demuxer="mov"), (b"ftyp",), boxed.mp4_missing, 4),
    _ADTS,
    _Kind(Container(name="Matroska", demuxer="matroska"), (boxed.EBML,), boxed.matroska_missing),
    _Kind(Container(name="WMA", demuxer="asf"), (boxed.ASF,), boxed.asf_missing),
    _Kind(Container(name="AMR", demuxer="amr"), (b"#!AMR\n",), framed.amr_missing),
    _Kind(Container(name="AMR", demuxer="amr"), (b"#!AMR-WB\n",), framed.amr_wb_missing),
)
_NAMES = list(dict.fromkeys(kind.container.name for kind in (*_KINDS, _G722)))

# the containers that hold more than audio: what stands in them when they do hold audio
_FORMS = {
    b"RIFF": (b"WAVE",),
    b"RF64": (b"WAVE",),
    b"RIFX": (b"WAVE",),
    b"FORM": (b"AIFF", b"AIFC"),
}
