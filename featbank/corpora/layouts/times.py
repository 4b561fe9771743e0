"""Times in what a corpus says of its utterances."""

from __future__ import annotations

import math

from featbank.base.failures import brief
from featbank.errors import CorpusError

_LONGEST_S = 1e9  # thirty years: what is more is no time in a recording
_NUMBER_CHARACTERS = 64


def parse_seconds(text: str, what: str) -> float:
    """Read a time in seconds.

    >>> parse_seconds("1.25", "start in segments:1")
    1.25

    Args:
        text: a decimal number.
        what: it is, and where, for messages.

    Raises:
        CorpusError: it is no number from 0 on, or too large for a recording.
    """
    try:
        seconds = float(text) if len(text) <= _NUMBER_CHARACTERS else math.inf
    except ValueError:
        seconds = math.nan
    # Python takes digits of other scripts, and lines between digits, for a number, too
    if 0 <= seconds <= _LONGEST_S and text.isascii() and "_" not in text:
        return seconds
    raise CorpusError(what, expected="seconds, 0 or more", got=brief(repr(text)))


def name_segment(audio: str, start_s: float, duration_s: float | None) -> str:
    """Return the id of a segment whose corpus gives none: its file, and times in milliseconds.

    >>> name_segment("a/x", 1.25, 2.0), name_segment("a/x", 0.5, None)
    ('a/x-0001250-0003250', 'a/x-0000500-end')
    """
    end = "end" if duration_s is None else f"{round(1000 * (start_s + duration_s)):07d}"
    return f"{audio}-{round(1000 * start_s):07d}-{end}"
