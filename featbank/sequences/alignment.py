"""Alignment of words with frames, and spans of text and speech drawn over it."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from featbank.errors import ConfigError

Times = npt.NDArray[np.float64]


def word_frames(starts_s: Times, centers_s: Times) -> list[range]:
    """Return the frames of each word; each frame is one word's.

    A word has the frames whose middle lies at its start or after, and before the start of the next
    word. So the silence behind a word goes with it, and what is before the first one with the
    first. A word that is shorter than a frame may have none.

    Args:
        starts_s: of the words, in order, (N,).
        centers_s: the middle of each frame, in order, (T,).

    >>> word_frames(np.array([0.1, 0.3]), np.array([0.05, 0.15, 0.25, 0.35]))
    [range(0, 3), range(3, 4)]
    """
    bounds: list[int] = np.searchsorted(centers_s, starts_s).tolist()
    bounds = [*bounds, len(centers_s)]
    bounds[0] = 0
    return [range(first, stop) for first, stop in pairwise(bounds)]


class Span(NamedTuple):
    """Consecutive words, or utterances, as text or as speech."""

    parts: range
    is_speech: bool


def draw_spans(num_parts: int, shortest: int, longest: int, *key: object) -> list[Span]:
    """Cut words, or utterances, into spans that are text and speech by turns, as the key draws it.

    The first is either; each has `shortest` to `longest` of them, any number as likely, and the
    last what is left.

    Raises:
        ConfigError: the numbers do not fit.

    >>> draw_spans(9, 2, 4, "seed", "utterance")
    [Span(parts=range(0, 4), is_speech=False), Span(parts=range(4, 8), is_speech=True), \
Span(parts=range(8, 9), is_speech=False)]
    """
    if not 1 <= shortest <= longest:
        raise ConfigError(
            "shortest and longest span",
            expected="from 1, and none above the other",
            got=f"{shortest} and {longest}",
        )
    spans: list[Span] = []
    is_speech = _drawn(2, *key, "first") == 1
    first = 0
    while first < num_parts:
        stop = first + shortest + _drawn(longest - shortest + 1, *key, first)
        spans.append(Span(range(first, min(stop, num_parts)), is_speech))
        first, is_speech = stop, not is_speech
    return spans


def _drawn(limit: int, *key: object) -> int:
    """Return a number below `limit` that follows from the key alone."""
    return int.from_bytes(sha256(repr(key).encode()).digest()[:8]) * limit >> 64
