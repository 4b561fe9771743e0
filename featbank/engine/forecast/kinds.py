"""Kinds of audio files that a run is to read: how much of each, and what their segments reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from featbank.base.manifest import Utterance
from featbank.base.places import audio_suffix
from featbank.engine.forecast.drawing import Row, RowSample

_DRAWN = 256  # rows of a kind: some for each of many decoders


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class AudioKind:
    """What decides how fast a file is decoded, as far as its manifest row tells.

    Args:
        suffix: of the file's name, in small letters; `.flac` for what is FLAC by its digest.
        sample_rate: in Hz.
    """

    suffix: str
    sample_rate: int

    @classmethod
    def of(cls, row: Utterance) -> Self:
        """Return the kind of an utterance's file."""
        is_flac = row.audio_digest.startswith("md5:")
        suffix = ".flac" if is_flac else audio_suffix(row.audio)
        return cls(suffix=suffix, sample_rate=row.sample_rate)

    def __str__(self) -> str:
        """Return it for people.

        >>> str(AudioKind(suffix=".mp3", sample_rate=44_100))
        '.mp3 of 44,100 Hz'
        """
        return f"{self.suffix or 'files without a suffix'} of {self.sample_rate:,} Hz"


@dataclass(slots=True, kw_only=True)
class KindLeft:
    """The audio of one kind that is left to compute.

    Attributes:
        audio_s: of the utterances, in seconds.
        segments_s: of those that begin behind the start of their file.
        reach_s: that is decoded where each file is gone through from its start up to the last of
            its segments, once for each group of utterances.
        drawn: a sample of the utterances.
    """

    audio_s: float = 0.0
    segments_s: float = 0.0
    reach_s: float = 0.0
    drawn: RowSample = field(default_factory=lambda: RowSample(_DRAWN))


class AudioLeft(dict[AudioKind, KindLeft]):
    """The audio that is left to compute, by its kind."""

    def add(self, rows: Iterable[Row]) -> None:
        """Count utterances that one worker computes together, so that a decoder waits for them."""
        ends: dict[str, tuple[AudioKind, float]] = {}
        for split, row in rows:
            kind = AudioKind.of(row)
            left = self.setdefault(kind, KindLeft())
            left.audio_s += row.duration_s
            left.segments_s += row.duration_s if row.start_sample else 0.0
            left.drawn.add(split, row)
            end = end_s(row)
            ends[row.audio] = kind, max(end, ends.get(row.audio, (kind, 0.0))[1])
        for kind, end in ends.values():
            self[kind].reach_s += end


def end_s(row: Utterance) -> float:
    """Return where an utterance ends in its file, in seconds."""
    return (row.start_sample + row.num_samples) / row.sample_rate
