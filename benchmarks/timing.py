"""Rates in interleaved rounds: on a shared machine, only ratios of neighbours in time tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from statistics import median

from benchmarks.contender import Read
from benchmarks.corpora import Array

Turn = Callable[[], float]
"""Works for a while, and returns a rate."""

Rates = Mapping[str, Sequence[float]]
"""Of each contender, one a round."""

Request = tuple[str, int, int | None]
"""Arguments of a read."""


def interleave(turns: Mapping[str, Turn], rounds: int) -> Rates:
    """Let everyone take a turn in each round; every other round goes backwards, against drift."""
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        names = list(turns) if number % 2 == 0 else list(reversed(turns))
        for name in names:
            rates[name].append(turns[name]())
    return rates


def median_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the median over rounds of the ratio of two rates, pair by pair."""
    return median(one / other for one, other in zip(ones, others, strict=True))


def read_turn(
    read: Read, chunks: Sequence[tuple[Sequence[Request], float]], buffer: Array, turn_s: float
) -> Turn:
    """Return a turn that reads for a while, and copies each result: all values are touched.

    Args:
        read: of a contender.
        chunks: requests, and what each chunk of them counts for; begun anew when all are done.
        buffer: that takes one result at a time.
        turn_s: the turn ends after the chunk in which this time is over.
    """
    endless = cycle(chunks)

    def turn() -> float:
        amount = 0.0
        begin = time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < turn_s:
            requests, count = next(endless)
            copy_all(read, requests, buffer)
            amount += count
        return amount / elapsed

    return turn


def copy_all(read: Read, requests: Sequence[Request], buffer: Array) -> None:
    """Read and copy: the one loop that times everyone's reads."""
    for key, left, right in requests:
        values = read(key, left, right)
        buffer[: len(values)] = values
