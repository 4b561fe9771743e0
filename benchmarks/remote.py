"""Bar 9: a store elsewhere, behind 50 ms and a line of so many bytes a second."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.bars import Bar, Report
from benchmarks.corpora import Corpus
from benchmarks.fresh import in_fresh_process, memory_mb
from benchmarks.range_server import Answer, RemoteLine, far_away, num_sequential
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.usage import Usage, measured
from featbank.store import StoreWriter, open_store

LATENCY_S = 0.05
BYTES_PER_S = 100e6
BATCH_SIZE = 64
NUM_SHARDS = 80  # more than a batch has rows
ROW_FRAMES = 64  # of 768 float16: 98 kB
AT_ONCE = 16  # whole objects that the floor gets at a time
_CACHE = "FEATBANK_CACHE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Epochs:
    """What batches of a store elsewhere took.

    Args:
        open_s, first_s: to open it, and to read a first batch of as many shards as rows.
        first_processor_s: of the processors, in this process, for that first batch.
        batch_s: median of the batches after it.
        opening: what the server was asked for by opening.
        first: what it was asked for by the first batch.
        second: what it was asked for by reading the same batches again.
        batch_bytes: of the values of a batch.
    """

    open_s: float
    first_s: float
    first_processor_s: float
    batch_s: float
    opening: Sequence[Answer]
    first: Sequence[Answer]
    second: Sequence[Answer]
    batch_bytes: int


def measure(shelf: Shelf, scale: Scale) -> Iterator[Report]:
    """Open, read batches, read them again, and read all in order, each in a fresh process."""
    corpus = rows_of_100_kb(scale.remote_bytes)
    folder = shelf.folder / "remote"
    with StoreWriter(
        folder / "store",
        name="features",
        dtype="float16",
        shard_bytes=corpus.num_bytes // NUM_SHARDS,
    ) as writer:
        for key, values in corpus.rows():
            writer.write(key, values)
    with far_away(folder, LATENCY_S, BYTES_PER_S) as line:
        yield _batches(line, folder, corpus, scale.remote_batches)
        yield _in_order(line, folder, scale.remote_rounds)


def rows_of_100_kb(num_bytes: int) -> Corpus:
    """Return rows of 768 float16 a frame, as pooled or cut encoder features are."""
    rng = np.random.default_rng(0)
    pool = rng.standard_normal((20_000, 768), np.float32).astype(np.float16)
    number = max(4 * BATCH_SIZE, num_bytes // (ROW_FRAMES * pool[0].nbytes))
    lengths = np.full(number, ROW_FRAMES)
    return Corpus("rows of 98 kB", pool, lengths, rng.integers(0, len(pool) - ROW_FRAMES, number))


def _batches(line: RemoteLine, folder: Path, corpus: Corpus, num_batches: int) -> Report:
    with open_store(folder / "store") as store:
        first = [shard.first_id for shard in store.shards][:BATCH_SIZE]
    order = np.random.default_rng(3).permutation(len(corpus))[: num_batches * BATCH_SIZE]
    ids = [corpus.ids[index] for index in order]
    batches = [ids[at : at + BATCH_SIZE] for at in range(0, len(ids), BATCH_SIZE)]
    line.answers()
    cache = folder / "cache"
    found = in_fresh_process(_read_twice, line, cache, first, batches)
    again = in_fresh_process(_read_again, line, cache, batches)
    ideal_s = line.ideal_s(found.batch_bytes)
    report = Report(
        f"Elsewhere: {line.latency_s * 1000:.0f} ms, {line.bytes_per_s / 1e6:.0f} MB/s; "
        f"{corpus.num_bytes / 1e9:.2g} GB of {corpus.name}, batches of {BATCH_SIZE}",
        ["what", "ms", "x ideal", "MB", "GETs", "one after the other"],
    )
    report.rows = [
        ["open", 1e3 * found.open_s, "-", *_asked(found.opening)],
        [
            f"a first batch, of {len(first)} shards",
            *_times(found.first_s, ideal_s),
            *_asked(found.first),
        ],
        ["a batch", *_times(found.batch_s, ideal_s), "-", "-", "-"],
        ["all of them again", "-", "-", *_asked(found.second)],
        ["again, in a new process", "-", "-", *_asked(again)],
        ["ideal: latency + bytes / bandwidth", 1e3 * ideal_s, 1.0, found.batch_bytes / 1e6, 1, 1],
    ]
    report.notes.append(
        f"the first batch took {1e3 * found.first_processor_s:.0f} ms of this process's processors"
    )
    of_shards = [one for one in again if one.path.endswith(".h5")]
    report.bars = [
        Bar("requests one after the other to open", 3, num_sequential(found.opening), at_most=True),
        Bar("a batch / ideal", 3, found.batch_s / ideal_s, at_most=True),
        Bar("a first batch / ideal", 6, found.first_s / ideal_s, at_most=True),
        Bar("GETs of a second epoch", 0, len(found.second), at_most=True),
        Bar("GETs of shards in a new process", 0, len(of_shards), at_most=True),
    ]
    return report


def _asked(answers: Sequence[Answer]) -> tuple[float, int, int]:
    num_bytes = sum(one.num_bytes for one in answers)
    return num_bytes / 1e6, len(answers), num_sequential(answers)


def _times(seconds: float, ideal_s: float) -> tuple[float, float]:
    return 1e3 * seconds, seconds / ideal_s


def _read_twice(
    line: RemoteLine, cache: Path, first: Sequence[str], batches: Sequence[Sequence[str]]
) -> Epochs:
    os.environ[_CACHE] = str(cache)
    _connect(line)
    line.answers()
    begin_s = time.perf_counter()
    store = open_store(f"{line.url}/store")
    open_s = time.perf_counter() - begin_s
    opening = line.answers()
    with measured() as usage:
        store.read_batch(first)
    of_first = line.answers()
    # from here on, what all shards begin with is there
    every = [shard.first_id for shard in store.shards]
    store.read_batch(every)
    batch_s = median(_timed(lambda ids=ids: store.read_batch(ids)) for ids in batches)
    line.answers()
    for ids in batches:
        store.read_batch(ids)
    return Epochs(
        open_s=open_s,
        first_s=usage.elapsed_s,
        first_processor_s=usage.processor_s,
        batch_s=batch_s,
        opening=opening,
        first=of_first,
        second=line.answers(),
        batch_bytes=sum(store[one].nbytes for one in batches[0]),
    )


def _read_again(line: RemoteLine, cache: Path, batches: Sequence[Sequence[str]]) -> list[Answer]:
    os.environ[_CACHE] = str(cache)
    line.answers()
    store = open_store(f"{line.url}/store")
    for ids in batches:
        store.read_batch(ids)
    return line.answers()


def _connect(line: RemoteLine) -> None:
    """Import the client, and make its first request, which are not what is measured."""
    import fsspec

    fsspec.filesystem("http").cat_file(f"{line.url}/store/header.json")


def _in_order(line: RemoteLine, folder: Path, num_rounds: int) -> Report:
    """Let both read in turn, so that what else the machine does is the same to them."""
    paths = sorted((folder / "store").glob("*.h5"))
    num_bytes = sum(path.stat().st_size for path in paths)
    urls = [f"{line.url}/store/{path.name}" for path in paths]
    floors, ours, grown_mb = [], [], []
    for _ in range(num_rounds):
        floors.append(in_fresh_process(_get_all, urls))
        cache = folder / "other-cache"
        used, mb = in_fresh_process(_read_all, line, cache)
        shutil.rmtree(cache)
        ours.append(used)
        grown_mb.append(mb)
    ratios = [floor.elapsed_s / one.elapsed_s for floor, one in zip(floors, ours, strict=True)]
    report = Report(
        f"Elsewhere, in order: {num_bytes / 1e9:.2g} GB in {len(paths)} shards; medians of "
        f"{num_rounds}",
        ["read by", "MB/s", "of the floor", "processor s", "others", "memory grows by MB"],
    )
    floor, featbank = (_cells(num_bytes, some) for some in (floors, ours))
    report.rows = [
        [f"GETs of whole objects, {AT_ONCE} at once, kept nowhere", floor[0], 1.0, *floor[1:], "-"],
        [
            "featbank, `read_many` in order",
            featbank[0],
            median(ratios),
            *featbank[1:],
            max(grown_mb),
        ],
    ]
    report.bars = [
        Bar("featbank / GETs of whole objects", 0.9, median(ratios)),
        Bar(
            "memory grows over the last three quarters by",
            50,
            max(grown_mb),
            at_most=True,
            unit=" MB",
        ),
    ]
    report.notes.append("others: share of the processors that others had, the server among them")
    report.notes.append("of the floor, a round: " + ", ".join(f"{one:.2f}" for one in ratios))
    return report


def _cells(num_bytes: int, turns: Sequence[Usage]) -> tuple[float, float, float]:
    return (
        num_bytes / 1e6 / median(one.elapsed_s for one in turns),
        median(one.processor_s for one in turns),
        median(one.others for one in turns),
    )


def _get_all(urls: Sequence[str]) -> Usage:
    # imported here: the other parts need no client
    import aiohttp

    async def get(session: aiohttp.ClientSession, some: Iterator[str]) -> None:
        for url in some:
            async with session.get(url) as answer:
                async for _ in answer.content.iter_chunked(1 << 20):
                    pass

    async def get_all() -> None:
        shared = iter(urls)  # each takes the next one
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(get(session, shared) for _ in range(AT_ONCE)))

    with measured() as usage:
        asyncio.run(get_all())
    return usage


def _read_all(line: RemoteLine, cache: Path) -> tuple[Usage, float]:
    os.environ[_CACHE] = str(cache)
    _connect(line)
    memory = []
    with measured() as usage:
        store = open_store(f"{line.url}/store")
        for number, _ in enumerate(store.read_many(store.ids)):
            if number % BATCH_SIZE == 0:
                memory.append(memory_mb("RssAnon"))
    return usage, max(memory) - max(memory[: max(1, len(memory) // 4)])


def _timed(act: Callable[[], Any]) -> float:
    begin_s = time.perf_counter()
    act()
    return time.perf_counter() - begin_s
