"""Read one corpus from everybody, and compare: what the dense and the token bars share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.contender import Contender
from benchmarks.corpora import Corpus
from benchmarks.floor import FlatFile
from benchmarks.ours import Featbank
from benchmarks.peers import PEERS
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.timing import Rates, Request, copy_all, interleave, median_ratio, read_turn

FLOOR, OURS = FlatFile.name, Featbank.name

Chunks = Sequence[tuple[Sequence[Request], float]]


def everyone() -> list[type[Contender]]:
    """Return the floor, featbank and the peers, installed or not."""
    return [FlatFile, Featbank, *PEERS]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rates of everyone, round by round."""

    rates: Rates

    def rate(self, name: str) -> float:
        """Return the median rate."""
        return median(self.rates[name])

    def of_floor(self, name: str) -> float:
        """Return the ratio to the floor."""
        return median_ratio(self.rates[name], self.rates[FLOOR])

    def over_best_peer(self) -> tuple[str, float]:
        """Return the fastest peer, and the ratio of featbank to it."""
        peers = [name for name in self.rates if name not in (FLOOR, OURS)]
        if not peers:
            return "no peer", float("inf")
        best = max(peers, key=self.rate)
        return best, median_ratio(self.rates[OURS], self.rates[best])


def compare_reads(shelf: Shelf, corpus: Corpus, chunks: Chunks, scale: Scale) -> Comparison:
    """Let everyone answer the same requests, after one pass that makes the pages present."""
    buffer = corpus.buffer()
    turns = {}
    for kind in everyone():
        if kind.is_installed():
            read = shelf.get(kind(), corpus).reader()
            if kind in (FlatFile, Featbank):
                copy_all(read, [(key, 0, None) for key in corpus.ids], buffer)
            turns[kind.name] = read_turn(read, chunks, buffer, scale.turn_s)
    return Comparison(interleave(turns, scale.rounds))


def full_reads(corpus: Corpus, chunk: int, *, unit_bytes: float | None = None) -> Chunks:
    """Return random reads of whole utterances.

    Args:
        corpus: to read.
        chunk: requests between two looks at the clock.
        unit_bytes: of the unit in which amounts are counted; None counts utterances.
    """
    order = np.random.default_rng(1).permutation(len(corpus))
    return [
        (
            [(corpus.ids[index], 0, None) for index in part],
            sum(corpus.values(index).nbytes for index in part) / unit_bytes
            if unit_bytes
            else len(part),
        )
        for part in _parts(order, chunk)
    ]


def slices(corpus: Corpus, num_frames: int, count: int, chunk: int) -> Chunks:
    """Return reads of a few consecutive frames of random utterances."""
    rng = np.random.default_rng(2)
    requests = []
    for index in rng.integers(0, len(corpus), count):
        left = int(rng.integers(0, corpus.lengths[index] - num_frames + 1))
        requests.append((corpus.ids[index], left, left + num_frames))
    return [(part, len(part)) for part in _parts(requests, chunk)]


def _parts(items: Sequence[Request], size: int) -> Iterator[Sequence[Request]]:
    return (items[start : start + size] for start in range(0, len(items), size))
