"""Speeds that utterances are played at: the rate that a speed means, and names that say it.

A speed changes tempo and pitch together, as `sox speed`, Kaldi and lhotse do it: the samples of a
file are taken to be of another rate, `played_rate`, and resampled from it to the rate that is asked
for, once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from featbank.errors import FeatbankError

SLOWEST, FASTEST = 0.1, 10.0
"""Speeds that are taken: what is beyond them is a mistake."""

_SPED = re.compile(r"sp([0-9][0-9.e+-]*)-(.+)", re.DOTALL)


def played_rate(sample_rate: int, speed: float) -> int:
    """Return the rate, in Hz, at which the samples of a file are played at a speed.

    It is a whole number, as that of lhotse and torchaudio: the nearest to the product, and the even
    one of two as near.

    >>> played_rate(16000, 0.9), played_rate(44100, 1.1), played_rate(11025, 0.9)
    (14400, 48510, 9922)
    """
    return sample_rate if speed == 1 else max(1, round(sample_rate * speed))


def speed_prefix(speed: float) -> str:
    """Return the prefix of the id of an utterance at a speed, as in Kaldi; empty at speed 1.

    >>> speed_prefix(0.9), speed_prefix(1.0)
    ('sp0.9-', '')
    """
    return "" if speed == 1 else f"sp{speed:g}-"


def without_speed(utterance_id: str) -> tuple[float, str] | None:
    """Return the speed that an id says and the id behind it; None of an id that says none.

    >>> without_speed("sp0.9-a"), without_speed("sport-a")
    ((0.9, 'a'), None)
    """
    found = _SPED.fullmatch(utterance_id)
    if found is None:
        return None
    try:
        speed = float(found[1])
    except ValueError:
        return None
    is_ours = SLOWEST <= speed <= FASTEST and utterance_id.startswith(speed_prefix(speed))
    return (speed, found[2]) if is_ours else None


def check_speed(speed: object, where: str, error: type[FeatbankError]) -> float:
    """Return a speed, if it is one of six digits at most, so that a name can say it.

    Raises:
        FeatbankError: as `error`, where it is none.
    """
    if (
        isinstance(speed, bool)
        or not isinstance(speed, int | float)
        or not math.isfinite(speed)
        or not SLOWEST <= speed <= FASTEST
        or float(f"{speed:g}") != speed
    ):
        raise error(
            where,
            expected=f"a speed from {SLOWEST:g} to {FASTEST:g}, of six digits at most: 0.9",
            got=repr(speed)[:100],
        )
    return float(speed)


def check_speeds(speeds: object, where: str, error: type[FeatbankError]) -> tuple[float, ...]:
    """Return a list of speeds, if it is one, and has each once.

    Raises:
        FeatbankError: as `error`, where it is not.
    """
    if isinstance(speeds, str) or not isinstance(speeds, Sequence) or not speeds:
        raise error(where, expected="a list such as [0.9, 1.0, 1.1]", got=repr(speeds)[:100])
    checked = tuple(check_speed(speed, where, error) for speed in speeds)
    if repeated := [speed for speed in checked if checked.count(speed) > 1]:
        raise error(where, expected="each speed once", got=f"{repeated[0]:g} again")
    return checked
