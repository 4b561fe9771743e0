"""Parser of Ogg files: which ones libsndfile reads, and whether their streams are complete."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.container import Container, cut_short, damaged
from featbank.audio.containers.looking import once
from featbank.audio.containers.pages import LAST, Pages, Stream, ended_page, pages_of
from featbank.errors import AudioError

_NO_END = "a page that ends the stream"
_HINT = "take it as it is by tolerate: [ogg_end] of its corpus, if its writer marks no end"
_OPUS_RATE = 48_000  # of its positions, whatever its input had


@dataclass(frozen=True, slots=True)
class _Codec:
    """What a stream of sound is coded by, with the rate of its positions."""

    name: str
    rate: int
    channels: int

    def __str__(self) -> str:
        return f"{self.name} of {self.rate} Hz and {self.channels} channels"


def ogg(path: str | Path, file: BufferedReader, _size: int, tolerate: Collection[str]) -> Container:
    """Parse an Ogg file, and choose its decoder.

    libsndfile reads one stream of Opus or Vorbis. Of several in a row, such as a recorded
    broadcast, it reads the first and calls it the whole.

    Raises:
        AudioError: it is cut short, has something between its pages, streams side by side or in a
            row that make no single sound, or no mark at its end, unless that is tolerated.
    """
    pages = once(file, pages_of)
    if pages.garbage >= 0:
        raise damaged(path, "page upon page", f"something else at byte {pages.garbage}")
    if not pages.is_whole or not pages.streams:
        raise cut_short(path, _NO_END, "part of a page")
    if pages.damaged >= 0:
        raise damaged(path, "pages of the checksum they state", f"another at byte {pages.damaged}")
    sounds = [(stream, codec) for stream in pages.streams if (codec := _codec(stream.codec))]
    _refuse_two_sounds(path, sounds)
    ends = all(stream.flags & LAST for stream in pages.streams)
    if not ends and not _may_lack_its_end(pages, tolerate):
        raise cut_short(
            path, _NO_END, "a page of its middle", _HINT if _is_at_its_end(pages) else ""
        )
    is_plain = len(pages.streams) == len(sounds) == 1 and sounds[0][1].name in ("Opus", "Vorbis")
    # decoders go over a gap; a recording of a broadcast has one behind its headers
    gaps = [
        stream.gap
        for stream in pages.streams
        if stream.gap >= 0 and (stream.is_gap_in_sound or not is_plain)
    ]
    if gaps:
        raise damaged(path, "page upon page", f"one that is missing before byte {min(gaps)}")
    if is_plain:
        mended = () if ends else ended_page(file, sounds[0][0].page)
        return Container(name="Ogg (Opus, Vorbis)", mended=mended)
    least_s = sum(
        (
            Fraction(max(0, stream.end - stream.begin), max(1, codec.rate))
            for stream, codec in sounds
        ),
        Fraction(0),
    )
    return Container(name="Ogg", demuxer="ogg", least_s=least_s)


def _refuse_two_sounds(path: str | Path, sounds: list[tuple[Stream, _Codec]]) -> None:
    links = [stream.link for stream, _ in sounds]
    codecs = {codec for _, codec in sounds}
    if len(set(links)) == len(links) and len(codecs) <= 1:
        return
    raise AudioError(
        f"audio {path}",
        kind="unknown_format",
        expected="one stream of sound, or several alike in a row",
        got=", ".join(str(codec) for _, codec in sounds),
        hint="convert its streams one by one",
    )


def _may_lack_its_end(pages: Pages, tolerate: Collection[str]) -> bool:
    return "ogg_end" in tolerate and _is_at_its_end(pages)


def _is_at_its_end(pages: Pages) -> bool:
    """Tell whether only the last stream lacks its end mark, behind whole packets."""
    *others, last = pages.streams
    return not last.is_open and last.end > 0 and all(stream.flags & LAST for stream in others)


def _codec(head: bytes) -> _Codec | None:
    """Read what the first page of a stream says; None for no sound that is known."""
    if head.startswith(b"OpusHead") and len(head) >= 19:
        return _Codec("Opus", _OPUS_RATE, head[9])
    if head.startswith(b"\x01vorbis") and len(head) >= 16:
        return _Codec("Vorbis", int.from_bytes(head[12:16], "little"), head[11])
    if head.startswith(b"\x7fFLAC") and len(head) >= 30:
        return _Codec("FLAC", int.from_bytes(head[27:30], "big") >> 4, (head[29] >> 1 & 7) + 1)
    if head.startswith(b"Speex   ") and len(head) >= 52:
        return _Codec("Speex", int.from_bytes(head[36:40], "little"), head[48])
    return None
