"""Bar 3: writes, and the memory they take."""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.bars import Bar, Report
from benchmarks.contender import Contender
from benchmarks.corpora import Array, Corpus, dense_corpus, token_corpus
from benchmarks.floor import FlatFile
from benchmarks.fresh import in_fresh_process, memory_mb
from benchmarks.ours import Featbank
from benchmarks.peers import PEERS
from benchmarks.reading import FLOOR, OURS
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf, write
from benchmarks.timing import interleave, median_ratio

SORTED, SHUFFLED = f"{OURS}, ids sorted", f"{OURS}, ids in any order"
MEMORY_MB = 1000


def measure(shelf: Shelf, scale: Scale) -> list[Report]:
    """Write dense features, tokens, and a store larger than the memory it may take."""
    dense, _ = _rates(shelf, dense_corpus(scale.num_dense), scale)
    dense.bars = [
        Bar(f"dense writes of {SORTED} / {FLOOR}", 0.8, _of_floor(dense, SORTED)),
        Bar(f"dense writes of {SHUFFLED} / {FLOOR}", 0.4, _of_floor(dense, SHUFFLED)),
    ]
    tokens, over_best = _rates(shelf, token_corpus(scale.num_tokens), scale)
    tokens.bars = [Bar("token writes / the best peer's", 5.0, over_best)]
    return [dense, tokens, _memory(shelf.folder, scale)]


def _rates(shelf: Shelf, corpus: Corpus, scale: Scale) -> tuple[Report, float]:
    """Write a corpus with the floor and featbank in rounds, and with each peer once."""
    shuffled = np.random.default_rng(3).permutation(len(corpus))
    rates = interleave(
        {
            FLOOR: partial(_write, FlatFile(), shelf.folder, corpus),
            SORTED: partial(_write, Featbank(), shelf.folder, corpus),
            SHUFFLED: partial(_write, Featbank(), shelf.folder, corpus, shuffled),
        },
        scale.write_rounds,
    )
    report = Report(
        f"Writes: {corpus.name}, {corpus.num_bytes / 1e6:,.0f} MB",
        ["store", "MB/s", "of the floor"],
    )
    for name, ones in rates.items():
        report.rows.append([name, median(ones), median_ratio(ones, rates[FLOOR])])
    best = 0.0
    for kind in PEERS:
        if kind.is_installed():
            rate = corpus.num_bytes / 1e6 / shelf.get(kind(), corpus).elapsed_s
            report.rows.append([kind.name, rate, rate / median(rates[FLOOR])])
            best = max(best, rate)
        else:
            report.rows.append([kind.name, "not installed", ""])
    report.notes = [f"{FLOOR} and {OURS} digest every row and wait for the disk; peers do neither"]
    return report, median(rates[SORTED]) / best if best else float("inf")


def _of_floor(report: Report, name: str) -> float:
    return next(float(row[2]) for row in report.rows if row[0] == name)


def _write(contender: Contender, folder: Path, corpus: Corpus, order: Array | None = None) -> float:
    written = write(contender, folder / "write", corpus, order)
    written.remove()
    return corpus.num_bytes / 1e6 / written.elapsed_s


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
    corpus = dense_corpus(num_bytes // 1_590_000)
    numbers = np.random.default_rng(4).permutation(len(corpus)) if order == "any" else None
    before = memory_mb("VmHWM")
    begin = time.perf_counter()
    Featbank().write(folder, corpus.rows(numbers))
    return before, memory_mb("VmHWM"), corpus.num_bytes / 1e6 / (time.perf_counter() - begin)
