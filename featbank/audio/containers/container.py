"""Result of parsing an audio file: its format, its samples, and faults to raise."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from featbank.errors import AudioError

TOLERANCES = frozenset(
    [
        "ogg_end",  # an Ogg whose last page does not say so: one that is cut short looks the same
    ]
)
"""What a corpus may take of its files that is refused by default. No name ever changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSamples:
    """Samples of a fixed width, stored one by one: where they begin, how many, how coded.

    Args:
        start: byte of the file at which they begin.
        length: bytes of them.
        is_stated: whether the header states that length, so that a decoder may read it.
        subtype: how each is coded, as libsndfile calls it.
        endian: "LITTLE" or "BIG".
        width: bytes of one.
        channels: that they alternate between.
        sample_rate: in Hz.
    """

    start: int
    length: int
    is_stated: bool
    subtype: str
    endian: str
    width: int
    channels: int
    sample_rate: int

    @property
    def num_samples(self) -> int:
        """Samples of each channel; what is left of a last one that is not whole does not count."""
        return self.length // (self.width * self.channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The format of an audio file, and what its parser found in the file.

    Args:
        name: as people call it.
        demuxer: of ffmpeg, for what libsndfile does not decode; else empty.
        samples: of a file that holds them one by one, and states their place.
        stop: byte behind the last that libsndfile is to see; 0 for the whole file.
        mended: bytes to be read at these places instead of those that are there, which a decoder
            would misunderstand.
        parts: first byte, and the one behind the last, of each piece that ffmpeg is to see; empty
            for the whole file.
        least_s: seconds to which it must decode at least.
    """

    name: str
    demuxer: str = ""
    samples: PlainSamples | None = None
    stop: int = 0
    mended: tuple[tuple[int, bytes], ...] = ()
    parts: tuple[tuple[int, int], ...] = ()
    least_s: Fraction = Fraction(0)


def cut_short(path: str | Path, expected: object, got: object, hint: str = "") -> AudioError:
    """Return the error of a file that holds less than it promises."""
    return AudioError(
        f"audio {path} is cut short", kind="truncated", expected=expected, got=got, hint=hint
    )


def goes_on(path: str | Path, expected: object, got: object) -> AudioError:
    """Return the error of a file that holds more than it states, and not by any known mistake."""
    return AudioError(
        f"audio {path} goes on behind what it states",
        kind="surplus",
        expected=expected,
        got=got,
        hint="repair its header, or convert it again from its source",
    )


def damaged(path: str | Path, expected: object, got: object) -> AudioError:
    """Return the error of a file that contradicts itself."""
    return AudioError(f"audio {path} is damaged", kind="damaged", expected=expected, got=got)
