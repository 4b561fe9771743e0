"""Phones of utterances with their frames: what ABX compares."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.base.labels import Intervals
from featbank.files.provenance import digest

_TOUCHING_S = 1e-3
"""Phones farther apart than this, in seconds, are no neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhoneSegment:
    """The frames of one phone of one utterance.

    Args:
        key: names it: the utterance's id and the number of the interval.
        phone: its label.
        context: the phones before and after it that touch it; None where either lacks.
        speaker: of the utterance.
        frames: (T, D) those whose middle lies in the phone, one at least.
    """

    key: str
    phone: str
    context: tuple[str, str] | None
    speaker: str
    frames: npt.NDArray[Any]


def phone_segments(
    utterance_id: str,
    speaker: str,
    frames: npt.NDArray[Any],
    intervals: Intervals,
    centers_s: npt.NDArray[np.float64],
    *,
    silences: Collection[str],
) -> Iterator[PhoneSegment]:
    """Cut the phones out of an utterance; one without a frame is left out.

    Args:
        utterance_id: of the utterance.
        speaker: of the utterance.
        frames: (T, D).
        intervals: its labels.
        centers_s: (T,) the time of each frame.
        silences: labels that are no phones: they are left out, and are no context.
    """
    starts = np.searchsorted(centers_s, intervals.starts_s)
    ends = np.searchsorted(centers_s, intervals.ends_s)
    names = [None if label in silences else label for label in intervals.labels]
    gaps_s = intervals.starts_s[1:] - intervals.ends_s[:-1]
    touching = [False, *(abs(gaps_s) <= _TOUCHING_S).tolist(), False]
    padded = [None, *names, None]
    for number, (name, start, end) in enumerate(zip(names, starts, ends, strict=True)):
        if name is None or end <= start:
            continue
        before = padded[number] if touching[number] else None
        after = padded[number + 2] if touching[number + 1] else None
        yield PhoneSegment(
            key=f"{utterance_id}:{number}",
            phone=name,
            context=None if before is None or after is None else (before, after),
            speaker=speaker,
            frames=frames[start:end],
        )


def capped(
    segments: Iterable[PhoneSegment], most: int, *, by_context: bool, seed: int
) -> list[PhoneSegment]:
    """Keep at most so many segments of a phone of a speaker, and of a context where that counts.

    Args:
        segments: to draw from, by a seeded hash of their keys.
        most: to keep of each kind.
        by_context: whether phones in different contexts are of different kinds.
        seed: of the hash.

    Returns:
        Those that are kept, by kind, then key.
    """

    def kind(one: PhoneSegment) -> tuple[str, str, tuple[str, str]]:
        return one.speaker, one.phone, (one.context or ("", "")) if by_context else ("", "")

    kept: list[PhoneSegment] = []
    for _, same in groupby(sorted(segments, key=lambda one: (kind(one), one.key)), key=kind):
        drawn = nsmallest(most, same, key=lambda one: digest([seed, one.key]))
        kept += sorted(drawn, key=lambda one: one.key)
    return kept
