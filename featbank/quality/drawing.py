"""Seeded drawing of utterances: the same ones of every store, and mostly so when a corpus grows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from heapq import nsmallest

from featbank.base.manifest import Utterance
from featbank.files.provenance import digest


def draw_utterances(rows: Iterable[Utterance], most: int, seed: int) -> list[Utterance]:
    """Draw some utterances by a seeded hash of their ids, and return them by id."""
    drawn = nsmallest(most, rows, key=lambda row: digest([seed, row.id]))
    return sorted(drawn, key=lambda row: row.id)


def draw_by_speaker(
    rows: Iterable[Utterance], *, speakers: int, utterances: int, seed: int
) -> list[Utterance]:
    """Draw some speakers by a seeded hash of their names, and of each some utterances.

    Args:
        rows: to draw from; those without a speaker are left out.
        speakers: at most.
        utterances: of each, at most.
        seed: of the hashes.

    Returns:
        The utterances by speaker, then id.
    """
    by_speaker: dict[str, list[Utterance]] = defaultdict(list)
    for row in rows:
        if row.speaker:
            by_speaker[row.speaker].append(row)
    names = nsmallest(speakers, by_speaker, key=lambda name: digest([seed, name]))
    return [
        row for name in sorted(names) for row in draw_utterances(by_speaker[name], utterances, seed)
    ]
