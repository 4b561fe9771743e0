"""Corpora made from a seed: what is stored does not depend on the machine, nor cost to make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Row = tuple[str, Array]

CODEBOOK_SIZE = 500
_POOL_BYTES = 1 << 26  # more than a processor caches, so that a write reads memory as it would


def utterance_id(number: int) -> str:
    """Return an id as corpora have them, a speaker and a number; numbers rise as ids do.

    >>> utterance_id(1234)
    '0000024-0034'
    """
    return f"{number // 50:07d}-{number % 50:04d}"


@dataclass(frozen=True)
class Corpus:
    """Utterances whose values are windows of one pool of random values.

    Args:
        name: of the corpus.
        pool: (num_values, *shape).
        lengths: frames of each utterance.
        starts: where each begins in the pool.
    """

    name: str
    pool: Array
    lengths: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.pool.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pool.shape[1:]

    @property
    def frame_bytes(self) -> int:
        return self.pool[0].nbytes

    @property
    def num_bytes(self) -> int:
        return int(self.lengths.sum()) * self.frame_bytes

    @cached_property
    def ids(self) -> list[str]:
        return [utterance_id(number) for number in range(len(self))]

    def values(self, number: int) -> Array:
        """Return the values of an utterance, (T, *shape)."""
        start = self.starts[number]
        return self.pool[start : start + self.lengths[number]]

    def rows(self, order: Iterable[int] | None = None) -> Iterator[Row]:
        """Give ids and values, in order of ids where no other order is given."""
        for number in range(len(self)) if order is None else order:
            yield utterance_id(number), self.values(number)

    def buffer(self) -> Array:
        """Return room for the longest utterance, its pages present."""
        return np.ones((int(self.lengths.max()), *self.shape), self.dtype)


def dense_corpus(num_utterances: int, seed: int = 0, dtype: str = "float32") -> Corpus:
    """Return 768 normal values a frame, as a base encoder gives: in float32 1.6 MB an utterance."""
    rng = np.random.default_rng(seed)
    pool = rng.standard_normal((_POOL_BYTES // (4 * 768), 768), np.float32)
    lengths = np.clip(rng.lognormal(6.15, 0.44, num_utterances), 50, 2000).astype(np.int64)
    name = "dense" if dtype == "float32" else f"dense {dtype}"
    starts = rng.integers(0, len(pool) - lengths)
    return Corpus(name, pool.astype(dtype, copy=False), lengths, starts)


def token_corpus(num_utterances: int, mean_length: int = 600, seed: int = 0) -> Corpus:
    """Return uint16 units of a codebook of 500."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, CODEBOOK_SIZE, _POOL_BYTES // 2, np.uint16)
    lengths = rng.integers(mean_length // 4, 2 * mean_length - mean_length // 4, num_utterances)
    return Corpus("tokens", pool, lengths, rng.integers(0, len(pool) - lengths))
