"""Codebook usage: how often each token occurs, by frame and by run of equal tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookUsage:
    """How often each of the K tokens of one codebook occurs.

    A run is the longest stretch of equal tokens in one utterance: what deduplication keeps one
    token of. Both counts are the same whether a store holds every frame, or merged units with their
    durations.

    Args:
        frames: (K,) frames that have the token.
        runs: (K,) runs of it.
    """

    frames: tuple[int, ...]
    runs: tuple[int, ...]


class TokenCounts:
    """Counts of the tokens of Q codebooks, added up block by block.

    Args:
        num_codebooks: Q.
        num_units: of each codebook, K.
    """

    def __init__(self, num_codebooks: int, num_units: int) -> None:
        self.frames = np.zeros((num_codebooks, num_units), np.int64)
        self.runs = np.zeros((num_codebooks, num_units), np.int64)

    def add(self, tokens: Array, starts: npt.NDArray[np.bool_], before: Array | None) -> None:
        """Count consecutive frames; tokens that the codebook does not have are left out.

        Args:
            tokens: (T, Q) of any number of utterances.
            starts: (T,) whether a frame is the first of its utterance.
            before: (Q,) the frame before them; None where there is none.
        """
        begins = np.empty(tokens.shape, bool)
        begins[1:] = tokens[1:] != tokens[:-1]
        begins[:1] = True if before is None else tokens[:1] != before
        begins[starts] = True
        num_units = self.frames.shape[1]
        known = (tokens >= 0) & (tokens < num_units)
        # codebook q has the numbers from q * K on
        numbers = np.where(known, tokens, 0).astype(np.int64)
        numbers += np.arange(len(self.frames)) * num_units
        for counts, counted in ((self.frames, known), (self.runs, known & begins)):
            found = np.bincount(numbers[counted], minlength=counts.size)
            counts += found.reshape(counts.shape)

    def add_frames(self, units: Array) -> None:
        """Count the frames, and not the runs, of units (T,) of the only codebook."""
        known = units[(units >= 0) & (units < self.frames.shape[1])].astype(np.int64)
        np.add.at(self.frames[0], known, 1)

    def result(self) -> tuple[CodebookUsage, ...]:
        """Return the counts, a codebook after the other."""
        return tuple(
            CodebookUsage(frames=tuple(frames), runs=tuple(runs))
            for frames, runs in zip(self.frames.tolist(), self.runs.tolist(), strict=True)
        )


def pool(stores: Iterable[tuple[CodebookUsage, ...]]) -> tuple[CodebookUsage, ...]:
    """Add up the counts of several stores, codebook by codebook.

    Splits of codebooks of different numbers or sizes are a problem that a check names; what one of
    them lacks counts as never used.
    """
    nothing = CodebookUsage(frames=(), runs=())
    return tuple(
        CodebookUsage(
            frames=_added_up(one.frames for one in same), runs=_added_up(one.runs for one in same)
        )
        for same in zip_longest(*stores, fillvalue=nothing)
    )


def _added_up(counts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sum(same) for same in zip_longest(*counts, fillvalue=0))
