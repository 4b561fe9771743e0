"""Names of audio that lies inside another file: a member of a tar, a cell of a Parquet file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_INSIDE = "!/"
_FORM = re.compile(r"(?P<container>.+?)!/(?P<member>.+?)(?:@(?P<start>\d+)\+(?P<size>\d+))?", re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where audio lies inside a file, as the `audio` of a manifest row says it.

    Args:
        container: path of the file, relative to the corpus root.
        member: what the audio is called in it; it may hold `/`.
        start: first byte of the audio in the file; None where it has no bytes of its own there,
            such as a cell of a compressed Parquet file.
        num_bytes: of the audio there; None where `start` is.

    >>> place = Place(container="a/0.tar", member="clips/x.flac", start=512, num_bytes=9)
    >>> str(place), Place.parse(str(place)) == place
    ('a/0.tar!/clips/x.flac@512+9', True)
    >>> str(Place(container="0.parquet", member="audio/00000017")), Place.parse("a/x.flac")
    ('0.parquet!/audio/00000017', None)
    """

    container: str
    member: str
    start: int | None = None
    num_bytes: int | None = None

    def __str__(self) -> str:
        """Return the name, which `parse` reads."""
        where = "" if self.start is None else f"@{self.start}+{self.num_bytes}"
        return f"{self.container}{_INSIDE}{self.member}{where}"

    @classmethod
    def parse(cls, audio: str) -> Place | None:
        """Read a name; None for that of a file of its own."""
        if _INSIDE not in audio or not (found := _FORM.fullmatch(audio)):
            return None
        start, size = found["start"], found["size"]
        return cls(
            container=found["container"],
            member=found["member"],
            start=None if start is None else int(start),
            num_bytes=None if size is None else int(size),
        )


def audio_suffix(audio: str) -> str:
    """Return the end of the name of a file, or of what lies inside one, in small letters.

    >>> audio_suffix("a/x.WAV"), audio_suffix("a/0.tar!/x.mp3@512+9"), audio_suffix("0.tar!/x@5+9")
    ('.wav', '.mp3', '')
    """
    if _INSIDE in audio and (place := Place.parse(audio)):
        audio = place.member
    return os.path.splitext(audio)[1].lower()  # noqa: PTH122 - thrice as fast


def row_group(audio: str) -> str:
    """Return which row group of a Parquet file audio lies in; empty for audio that lies elsewhere.

    >>> row_group("0.parquet!/audio/00003/00000017.wav"), row_group("a/0.tar!/x.mp3@512+9")
    ('0.parquet!/audio/00003', '')
    """
    if _INSIDE not in audio or (place := Place.parse(audio)) is None or place.start is not None:
        return ""
    return audio.rpartition("/")[0]


def read_together(one: str, other: str) -> bool:
    """Tell whether audio lies in one row group of a Parquet file, which is read as a whole.

    >>> read_together("0.parquet!/audio/00003/00000017.wav", "0.parquet!/audio/00003/00000018.wav")
    True
    """
    if _INSIDE not in one or one.rpartition("/")[0] != other.rpartition("/")[0]:
        return False
    return bool(row_group(one))
