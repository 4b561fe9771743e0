"""Laws of the lengths of utterances in well-known corpora, to make ragged speech by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random

Law = Callable[[Random], float]
"""Draws the length of an utterance, in seconds."""


def libri(random: Random) -> float:
    """Draw as from LibriSpeech: most of 12 to 16 s, some short, few up to 30."""
    kind = random.random()
    if kind < 0.62:
        return random.uniform(12, 16.3)
    return random.uniform(2, 12) if kind < 0.98 else random.uniform(16.3, 30)


def common_voice(random: Random) -> float:
    """Draw as from Common Voice: sentences of about 5 s."""
    return min(15.0, max(1.2, random.gauss(5.2, 1.9)))


def emilia(random: Random) -> float:
    """Draw as from Emilia: 3 to 30 s, about 8."""
    return min(30.0, max(3.0, random.lognormvariate(2.1, 0.5)))


def about_12_s(random: Random) -> float:
    """Draw about 12 s."""
    return random.uniform(11, 13)


def prompts(random: Random) -> float:
    """Draw prompts of about 2.7 s."""
    return random.uniform(2, 3.4)


LAWS: Mapping[str, Law] = {"libri": libri, "common voice": common_voice, "emilia": emilia}


def lengths(law: Law, duration_s: float, seed: int = 0) -> Iterator[float]:
    """Give lengths, in seconds, until they sum up to a duration."""
    random = Random(seed)  # noqa: S311
    total_s = 0.0
    while total_s < duration_s:
        length_s = law(random)
        total_s += length_s
        yield length_s
