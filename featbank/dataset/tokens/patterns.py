"""Code patterns: how the codes (Q, T) of an utterance become steps of a language model.

The orders are those of `featbank.sequences.patterns`, which arrange a whole utterance; here, a
window asks for some steps, and only the frames behind them are read.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from featbank.base.units import Units
from featbank.errors import ConfigError
from featbank.sequences import delay, flatten


class UtteranceCodes(NamedTuple):
    """The codes of an utterance, whose frames are read on demand."""

    read: Callable[[int, int], Units]
    """Gives frames from the first up to, not including, the last: (n, Q) int64."""
    num_frames: int
    num_codebooks: int
    pad: int | None
    """Stands where a codebook has no code, in a pattern that has such places."""


class CodePattern(ABC):
    """Protocol of a code pattern, under which T frames have `a T + b` steps, whatever the codes."""

    is_flat: bool = False
    """Whether a step is one token; else it is a column of Q."""

    @abstractmethod
    def steps(self, num_codebooks: int) -> tuple[int, int]:
        """Return a, the steps of a frame, and b, those that an utterance has beyond its frames'."""

    @abstractmethod
    def read(self, codes: UtteranceCodes, start: int, stop: int) -> Units:
        """Return steps from `start` up to, not including, `stop`, (n,) or (Q, n), int64."""


@dataclass(frozen=True)
class Flattened(CodePattern):
    """Flattened pattern: one code after the other, frame by frame, T Q steps of one token.

    Args:
        distinct: give each codebook numbers of its own, as `flatten(codes, codebook_size)` does:
            code c of codebook q becomes q K + c. A vocabulary always does.
    """

    distinct: bool = False
    is_flat = True

    def steps(self, num_codebooks: int) -> tuple[int, int]:
        """Return Q and 0."""
        return num_codebooks, 0

    def read(self, codes: UtteranceCodes, start: int, stop: int) -> Units:
        """Return tokens, (stop - start,)."""
        first = start // codes.num_codebooks
        tokens = flatten(codes.read(first, -(-stop // codes.num_codebooks)).T)
        return tokens[start - first * codes.num_codebooks :][: stop - start]


@dataclass(frozen=True)
class Delayed(CodePattern):
    """MusicGen's delay pattern: each codebook later than the one before, T + max(delays) steps.

    Args:
        pad: stands where a codebook has no code: a number that is none, or, in a vocabulary, the
            name of a special token or an id. None for the first number that is not taken.
        delays: steps, one a codebook; None for 0, 1, ..., Q - 1.
    """

    pad: int | str | None = None
    delays: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.delays is not None:
            object.__setattr__(self, "delays", tuple(map(operator.index, self.delays)))

    def steps(self, num_codebooks: int) -> tuple[int, int]:
        """Return 1 and the longest delay."""
        return 1, delay(np.empty((num_codebooks, 0), np.int64), 0, self.delays).shape[1]

    def read(self, codes: UtteranceCodes, start: int, stop: int) -> Units:
        """Return columns, (Q, stop - start)."""
        assert codes.pad is not None
        _, longest = self.steps(codes.num_codebooks)
        # a step has codes of as many frames before it; what `delay` pads beyond them is cut off
        first = max(0, start - longest)
        read = codes.read(first, min(stop, codes.num_frames)).T
        return delay(read, codes.pad, self.delays)[:, start - first : stop - first]


@dataclass(frozen=True)
class Parallel(CodePattern):
    """Parallel pattern: the codes as they are, T steps, each a column of Q tokens."""

    def steps(self, num_codebooks: int) -> tuple[int, int]:  # noqa: ARG002 - others ask
        """Return 1 and 0."""
        return 1, 0

    def read(self, codes: UtteranceCodes, start: int, stop: int) -> Units:
        """Return columns, (Q, stop - start)."""
        return codes.read(start, stop).T


PATTERNS = {"flattened": Flattened(), "delayed": Delayed(), "parallel": Parallel()}


def find_pattern(pattern: CodePattern | str) -> CodePattern:
    """Return a pattern, as it is or by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if isinstance(pattern, CodePattern):
        return pattern
    if pattern not in PATTERNS:
        raise ConfigError(
            "pattern of codes",
            expected=f"one of {', '.join(PATTERNS)}, or a Flattened, Delayed or Parallel",
            got=repr(pattern),
        )
    return PATTERNS[pattern]
