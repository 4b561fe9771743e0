"""A linear probe for speakers: how much of a voice is in the mean of an utterance.

A ridge regression onto the speakers, one column each, in closed form (Hoerl and Kennard, 1970);
the speaker with the highest value is named. It is fitted on some utterances of each speaker and
asked for the others of the same ones, so that it hears no new voice. Units are to lose the speaker
and keep the words: the nearer to chance, the better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.files.provenance import digest
from featbank.quality.result import SpeakerProbe

RIDGE = 1.0
"""Weight of the penalty; of values that vary by 1."""

_ASKED_SHARE = 4
"""One in so many utterances of a speaker is asked for, and one at least."""


def probe_speakers(
    means: Mapping[str, npt.NDArray[Any]], speakers: Mapping[str, str], *, seed: int
) -> SpeakerProbe | None:
    """Fit the probe and ask it; the same means give the same answer.

    Args:
        means: of each utterance, by id: (D,) finite values.
        speakers: of each utterance, by id. Those with one utterance alone are left out.
        seed: of the division of each speaker's utterances.

    Returns:
        What it named; None where fewer than two speakers have two utterances.
    """
    of_speaker: dict[str, list[str]] = {}
    for one in sorted(means, key=lambda one: digest([seed, one])):
        of_speaker.setdefault(speakers[one], []).append(one)
    names = sorted(name for name, ids in of_speaker.items() if len(ids) > 1)
    if len(names) < 2:
        return None
    fitted, asked = _divided([of_speaker[name] for name in names])
    values = np.array([means[one] for one, _ in fitted + asked], np.float64)
    numbers = np.array([number for _, number in fitted + asked])
    known, unknown = slice(0, len(fitted)), slice(len(fitted), None)
    answers = _ridge(values[known], numbers[known], values[unknown], len(names))
    right = answers == numbers[unknown]
    most = np.bincount(numbers[known]).argmax()
    return SpeakerProbe(
        accuracy=round(float(right.mean()), 6),
        chance=round(float((numbers[unknown] == most).mean()), 6),
        num_speakers=len(names),
        num_fitted=len(fitted),
        num_asked=len(asked),
    )


def _divided(
    of_speakers: Sequence[Sequence[str]],
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Divide the ids of each speaker in those to fit on and those to ask for, with its number."""
    fitted: list[tuple[str, int]] = []
    asked: list[tuple[str, int]] = []
    for number, ids in enumerate(of_speakers):
        cut = max(1, len(ids) // _ASKED_SHARE)
        asked += [(one, number) for one in sorted(ids[:cut])]
        fitted += [(one, number) for one in sorted(ids[cut:])]
    return fitted, asked


def _ridge(
    values: npt.NDArray[np.float64],
    numbers: npt.NDArray[np.int64],
    asked: npt.NDArray[np.float64],
    num_speakers: int,
) -> npt.NDArray[np.int64]:
    """Return the speakers that a ridge regression names, by their numbers."""
    mean, std = values.mean(axis=0), values.std(axis=0)
    scale = np.where(std > 0, std, 1)
    values, asked = (values - mean) / scale, (asked - mean) / scale
    targets = np.eye(num_speakers)[numbers]
    offset = targets.mean(axis=0)
    # as many unknowns as utterances, however many values a frame has
    gram = values @ values.T + RIDGE * np.eye(len(values))
    weights = np.linalg.solve(gram, targets - offset)
    found: npt.NDArray[np.int64] = ((asked @ values.T) @ weights + offset).argmax(axis=1)
    return found
