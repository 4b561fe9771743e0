"""Compare two token sequences of one utterance: flipped frames, and unit edit distance."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from featbank.base.framing import Framing
from featbank.base.units import deduplicate

Tokens = npt.NDArray[Any]


def frames_between(framing: Framing, shift: int, sample_rate: int) -> int:
    """Return how many frames later the same sound is in audio whose first samples are not cut off.

    Frame j of the shifted audio is compared with frame j + n of the other, whose middle is nearest
    in time; of two that are equally near, with the earlier.

    >>> hop_of_10_ms = Framing(sample_rate=16000, window_length=400, hop_length=160)
    >>> hop_of_20_ms = Framing(sample_rate=16000, window_length=400, hop_length=320)
    >>> [frames_between(grid, 160, 16000) for grid in (hop_of_10_ms, hop_of_20_ms)]
    [1, 0]

    Args:
        framing: of the tokens.
        shift: samples that were cut off.
        sample_rate: at which they were, in Hz.
    """
    hops = Fraction(shift, sample_rate) * Fraction(framing.sample_rate, framing.hop_length)
    return ceil(hops - Fraction(1, 2))


def aligned(clean: Tokens, disturbed: Tokens, later: int) -> tuple[Tokens, Tokens]:
    """Cut two sequences, (T,) and (T',), to the frames that both have.

    >>> import numpy as np
    >>> aligned(np.array([5, 6, 7, 8]), np.array([6, 7]), later=1)
    (array([6, 7]), array([6, 7]))

    Args:
        clean: tokens.
        disturbed: of which frame j is held against frame j + `later` of `clean`.
        later: from 0 on.
    """
    number = max(0, min(len(clean) - later, len(disturbed)))
    return clean[later : later + number], disturbed[:number]


def unit_edit_distance(clean: Tokens, disturbed: Tokens) -> float:
    """Return the unit edit distance, after Gat et al., 2023 (arXiv 2209.15483).

    Here: the Levenshtein distance between the units without repeats, over the number of frames of
    the clean ones. Unlike flips it forgives units that begin a little earlier or later.

    >>> import numpy as np
    >>> unit_edit_distance(np.array([5, 5, 7, 7]), np.array([5, 7, 7, 1]))
    0.25

    Args:
        clean: (T,) tokens, T over 0.
        disturbed: those of the same frames.
    """
    units = (deduplicate(tokens)[0].tolist() for tokens in (clean, disturbed))
    return float(Levenshtein.distance(*units)) / len(clean)
