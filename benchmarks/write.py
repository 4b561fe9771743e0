"""Writes against the floor, what they take of the machine, and the memory they take."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.bars import Bar, Report
from benchmarks.contender import Contender
from benchmarks.corpora import Array, Corpus, dense_corpus, token_corpus
from benchmarks.floor import FlatFile
from benchmarks.fresh import in_fresh_process, memory_mb
from benchmarks.ours import Featbank, Shards
from benchmarks.peers import PEERS
from benchmarks.reading import FLOOR, OURS
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf, write
from benchmarks.timing import interleave, median_ratio
from benchmarks.usage import COLUMNS, Usage

SORTED, SHUFFLED = f"{OURS}, ids sorted", f"{OURS}, ids in any order"
SHARDS = f"{OURS}, shards of known rows"
DTYPES = ("float32", "float16")
BOUNDS = {SORTED: 0.8, SHARDS: 0.8, SHUFFLED: 0.5}
"""Of the floor, each; what comes later in a process, and its first store."""

MEMORY_MB = 1000
_NOTE = f"{FLOOR} and {OURS} digest every row and wait for the disk; peers do neither"
_ROW_BYTES = 1_590_000  # of an utterance of the dense corpus in float32, on average
_WRITERS: dict[str, type[Contender]] = {
    FLOOR: FlatFile,
    SORTED: Featbank,
    SHARDS: Shards,
    SHUFFLED: Featbank,
}


def measure(shelf: Shelf, scale: Scale) -> Iterator[Report]:
    """Write dense features, tokens, and a store larger than the memory it may take."""
    for dtype in DTYPES:
        corpus = dense_corpus(scale.num_dense, dtype=dtype)
        report = _later(shelf, corpus, scale)
        for kind in PEERS if dtype == "float32" else ():  # which all of them hold
            _add_peer(report, kind, shelf, corpus)
        yield report
    for dtype in DTYPES:
        yield _first(shelf.folder, dtype, scale)
    yield _tokens(shelf, scale)
    yield _memory(shelf.folder, scale)


def _later(shelf: Shelf, corpus: Corpus, scale: Scale) -> Report:
    """Write a corpus again and again in one process."""
    usages: dict[str, list[Usage]] = defaultdict(list)

    def turn(name: str) -> float:
        usages[name].append(_write(name, shelf.folder / "write", corpus))
        return 1 / usages[name][-1].elapsed_s

    rates = interleave({name: partial(turn, name) for name in _WRITERS}, scale.write_rounds)
    later = {name: ones[1:] for name, ones in usages.items()}
    report = _report(f"Writes: {_sized(corpus)}, rounds after the first", corpus.num_bytes, later)
    for name, bound in BOUNDS.items():
        ratio = median_ratio(rates[name][1:], rates[FLOOR][1:])
        report.bars.append(Bar(f"{corpus.name} writes of {name} / {FLOOR}", bound, ratio))
    return report


def _add_peer(report: Report, kind: type[Contender], shelf: Shelf, corpus: Corpus) -> None:
    if not kind.is_installed():
        report.rows.append([kind.name, "not installed", "", *("" for _ in COLUMNS)])
        return
    usage = shelf.get(kind(), corpus).usage
    rate = corpus.num_bytes / 1e6 / usage.elapsed_s
    of_floor = rate / float(report.rows[0][1])
    report.rows.append([kind.name, rate, of_floor, *usage.cells])


def _first(folder: Path, dtype: str, scale: Scale) -> Report:
    """Write the first store of fresh processes, whose memory was never touched."""
    num_rows = scale.first_bytes // (_ROW_BYTES * np.dtype(dtype).itemsize // 4)
    corpus = dense_corpus(num_rows, dtype=dtype)
    usages: dict[str, list[Usage]] = defaultdict(list)

    def turn(name: str) -> float:
        usage = in_fresh_process(_write_first, name, folder / "first", num_rows, dtype)
        usages[name].append(usage)
        return 1 / usage.elapsed_s

    rates = interleave({name: partial(turn, name) for name in _WRITERS}, scale.first_rounds)
    report = _report(
        f"Writes: {_sized(corpus)}, first store of a process", corpus.num_bytes, usages
    )
    for name, bound in BOUNDS.items():
        ratio = median_ratio(rates[name], rates[FLOOR])
        text = f"{corpus.name} writes of {name}, first of a process, / {FLOOR}"
        report.bars.append(Bar(text, bound, ratio))
    return report


def _report(title: str, num_bytes: int, usages: dict[str, list[Usage]]) -> Report:
    report = Report(title, ["store", "MB/s", "of the floor", *COLUMNS])
    for name, ones in usages.items():
        speeds = [num_bytes / 1e6 / one.elapsed_s for one in ones]
        ratios = [
            floor.elapsed_s / one.elapsed_s for one, floor in zip(ones, usages[FLOOR], strict=True)
        ]
        columns = zip(*(one.cells for one in ones), strict=True)
        report.rows.append([name, median(speeds), median(ratios), *map(median, columns)])
    report.notes = [_NOTE]
    return report


def _tokens(shelf: Shelf, scale: Scale) -> Report:
    """Write tokens, and with the peers once what each can hold."""
    corpus = token_corpus(scale.num_tokens)
    names = [FLOOR, SORTED, SHUFFLED]
    turns = {
        name: lambda name=name: 1 / _write(name, shelf.folder / "write", corpus).elapsed_s
        for name in names
    }
    rates = interleave(turns, scale.write_rounds)
    megabytes = corpus.num_bytes / 1e6
    report = Report(f"Writes: {_sized(corpus)}", ["store", "MB/s", "of the floor"])
    for name, ones in rates.items():
        report.rows.append([name, megabytes * median(ones), median_ratio(ones, rates[FLOOR])])
    best = 0.0
    for kind in PEERS:
        if kind.is_installed():
            rate = 1 / shelf.get(kind(), corpus).usage.elapsed_s
            report.rows.append([kind.name, megabytes * rate, rate / median(rates[FLOOR])])
            best = max(best, rate)
        else:
            report.rows.append([kind.name, "not installed", ""])
    over_best = median(rates[SORTED]) / best if best else float("inf")
    report.bars = [Bar("token writes / the best peer's", 5.0, over_best)]
    report.notes = [_NOTE]
    return report


def _sized(corpus: Corpus) -> str:
    return f"{corpus.name}, {corpus.num_bytes / 1e6:,.0f} MB"


def _order(name: str, corpus: Corpus) -> Array | None:
    return np.random.default_rng(3).permutation(len(corpus)) if name == SHUFFLED else None


def _write(name: str, folder: Path, corpus: Corpus) -> Usage:
    written = write(_WRITERS[name](), folder, corpus, _order(name, corpus))
    written.remove()
    return written.usage


def _write_first(name: str, folder: Path, num_rows: int, dtype: str) -> Usage:
    return _write(name, folder, dense_corpus(num_rows, dtype=dtype))


def _memory(folder: Path, scale: Scale) -> Report:
    """Write a large store in a fresh process, ids sorted and shuffled."""
    report = Report(
        f"Memory: a store of {scale.bounded_bytes / 1e9:.3g} GB written",
        ["order of ids", "peak resident MB", "of which before the first row", "MB/s"],
    )
    for order in ("sorted", "any"):
        path = folder / "bounded"
        before, peak, rate = in_fresh_process(_write_much, path, scale.bounded_bytes, order)
        shutil.rmtree(path)
        report.rows.append([order, peak, before, rate])
        report.bars.append(
            Bar(f"peak, ids in {order} order,", MEMORY_MB, peak, at_most=True, unit=" MB")
        )
    return report


def _write_much(folder: Path, num_bytes: int, order: str) -> tuple[float, float, float]:
    """Return the peak of memory before the first row and at the end, and the rate in MB/s."""
    corpus = dense_corpus(num_bytes // _ROW_BYTES)
    numbers = np.random.default_rng(4).permutation(len(corpus)) if order == "any" else None
    before = memory_mb("VmHWM")
    folder.mkdir(parents=True)
    written = write(Featbank(), folder, corpus, numbers)
    return before, memory_mb("VmHWM"), corpus.num_bytes / 1e6 / written.usage.elapsed_s
