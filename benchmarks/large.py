"""Bar 4: what a read costs as a store grows to ten million utterances."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks.bars import Bar, Report
from benchmarks.contender import Contender, Read
from benchmarks.corpora import Array, Corpus, token_corpus, utterance_id
from benchmarks.floor import FlatFile
from benchmarks.fresh import in_fresh_process, in_fresh_processes, memory_mb
from benchmarks.ours import Featbank
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf, write
from benchmarks.timing import Request, copy_all, median_ratio
from featbank.store import open_store

MEAN_LENGTH = 100  # short, so that the largest store and the floor's stay in memory together
NUM_READS = 10_000
NUM_WARM_READS = 200_000
NUM_WORKERS = 4
CONTENDERS: tuple[type[Contender], ...] = (FlatFile, Featbank)


class Cost(NamedTuple):
    """Of one read in microseconds: of the first ones after opening, and with all pages present."""

    first_touch_us: float
    warm_us: float


class Opening(NamedTuple):
    """Of `open_store` and of the first read after it, in milliseconds."""

    open_ms: float
    first_read_ms: float


class Worker(NamedTuple):
    """Private memory that a worker adds, in MB: by reads, and then by `store.ids`."""

    reads_mb: float
    ids_mb: float


def measure(shelf: Shelf, scale: Scale) -> list[Report]:
    """Grow a store of tokens, and read from it in fresh processes."""
    folders = {size: _written(shelf.kept / "large", size) for size in scale.sizes}
    largest = folders[scale.sizes[-1]]
    return [_opening(largest, scale), _growth(folders, scale)]


def _corpus(size: int) -> Corpus:
    return token_corpus(size, MEAN_LENGTH)


def _written(folder: Path, size: int) -> Path:
    """Return a folder that holds the corpus as the floor and featbank have it, written if need be.

    The folder of a user is kept, so the next run finds it.
    """
    for kind in CONTENDERS:
        path = folder / f"{size}-{kind.name}"
        done = path.with_suffix(".done")
        if not done.exists():
            write(kind(), path, _corpus(size))
            done.touch()
    return folder / str(size)


def _place(stem: Path, kind: type[Contender]) -> Path:
    return stem.with_name(f"{stem.name}-{kind.name}")


def _opening(stem: Path, scale: Scale) -> Report:
    folder = _place(stem, Featbank)
    opened = [in_fresh_process(_open, folder) for _ in range(max(3, scale.large_rounds))]
    size = scale.sizes[-1]
    workers = in_fresh_processes(NUM_WORKERS, _read_as_worker, folder, size)
    opening = Opening(*map(median, zip(*opened, strict=True)))
    memory = max(worker.reads_mb for worker in workers)
    return Report(
        f"Large: a token store of {size:,} utterances",
        ["of featbank", "measured"],
        rows=[
            ["open_store, ms", opening.open_ms],
            ["the first read after it, ms", opening.first_read_ms],
            *(
                [f"private memory of worker {number} by {NUM_READS:,} reads, MB", worker.reads_mb]
                for number, worker in enumerate(workers)
            ),
            ["private memory by store.ids, MB", max(worker.ids_mb for worker in workers)],
        ],
        bars=[
            Bar("open_store", 100, opening.open_ms, at_most=True, unit=" ms"),
            Bar("private memory of each worker", 100, memory, at_most=True, unit=" MB"),
        ],
    )


def _growth(stems: dict[int, Path], scale: Scale) -> Report:
    costs: dict[tuple[int, str], list[Cost]] = {}
    for _ in range(scale.large_rounds):
        for size, stem in stems.items():
            for kind in CONTENDERS:
                cost = in_fresh_process(_cost, kind, _place(stem, kind), size)
                costs.setdefault((size, kind.name), []).append(cost)
    report = Report(
        "Large: microseconds a read",
        ["utterances", *(f"{kind.name}, {what}" for what in _WHATS for kind in CONTENDERS)],
    )
    for size in stems:
        report.rows.append(
            [
                size,
                *(
                    median(cost[place] for cost in costs[size, kind.name])
                    for place in range(len(_WHATS))
                    for kind in CONTENDERS
                ),
            ]
        )
    smallest, largest = scale.sizes[0], scale.sizes[-1]
    for place, what in enumerate(_WHATS):
        floor, ours = (
            [
                after[place] / before[place]
                for after, before in zip(
                    costs[largest, kind.name], costs[smallest, kind.name], strict=True
                )
            ]
            for kind in CONTENDERS
        )
        text = f"growth of {what} reads, featbank x{median(ours):.2f} / floor x{median(floor):.2f},"
        report.bars.append(Bar(text, 1.3, median_ratio(ours, floor), at_most=True))
    report.notes = [
        f"first-touch: {NUM_READS:,} reads after opening in a fresh process, files in the page "
        "cache, opening of shards included",
        f"warm: {NUM_WARM_READS:,} random reads, a second time",
    ]
    return report


_WHATS = ("first-touch", "warm")


def _requests(size: int, count: int, seed: int, *, repeat: bool) -> list[Request]:
    numbers = np.random.default_rng(seed).choice(size, count, replace=repeat)
    return [(utterance_id(number), 0, None) for number in numbers.tolist()]


def _cost(kind: type[Contender], folder: Path, size: int) -> Cost:
    for path in folder.rglob("*"):  # into the page cache, should it have been pushed out
        if path.is_file():
            with open(path, "rb") as file:
                while file.read(1 << 24):
                    pass
    first = _requests(size, NUM_READS, 1, repeat=False)
    warm = _requests(size, NUM_WARM_READS, 2, repeat=True)
    buffer = np.ones(2 * MEAN_LENGTH, np.uint16)
    read = kind().reader(folder, {})
    first_touch_us = _us_a_read(read, first, buffer)
    copy_all(read, warm, buffer)
    return Cost(first_touch_us, _us_a_read(read, warm, buffer))


def _us_a_read(read: Read, requests: list[Request], buffer: Array) -> float:
    begin = time.perf_counter()
    copy_all(read, requests, buffer)
    return (time.perf_counter() - begin) * 1e6 / len(requests)


def _open(folder: Path) -> Opening:
    begin = time.perf_counter()
    store = open_store(folder / "store")
    opened = time.perf_counter()
    store[utterance_id(len(store) // 2)].sum()
    return Opening((opened - begin) * 1e3, (time.perf_counter() - opened) * 1e3)


def _read_as_worker(number: int, folder: Path, size: int) -> Worker:
    requests = _requests(size, NUM_READS, number, repeat=False)
    buffer = np.ones(2 * MEAN_LENGTH, np.uint16)
    before = memory_mb("RssAnon")
    store = open_store(folder / "store")
    copy_all(store.read, requests, buffer)
    read = memory_mb("RssAnon")
    ids = store.ids
    assert ids[size // 3] == utterance_id(size // 3)
    assert ids[-1] in ids
    return Worker(read - before, memory_mb("RssAnon") - read)
