"""Bar 2: tokens by id, and their size on disk."""

from __future__ import annotations

from benchmarks.bars import Bar, Report
from benchmarks.corpora import token_corpus
from benchmarks.reading import FLOOR, OURS, compare_reads, everyone, full_reads
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf

ENOUGH_PER_SECOND = 100_000


def measure(shelf: Shelf, scale: Scale) -> list[Report]:
    """Read random utterances by id."""
    corpus = token_corpus(scale.num_tokens)
    reads = compare_reads(shelf, corpus, full_reads(corpus, 128), scale)
    report = Report(
        f"Tokens: {len(corpus):,} utterances {corpus.dtype.name}, {corpus.num_bytes / 1e6:.0f} MB",
        ["store", "reads/s by id", "of the floor", "size / raw"],
    )
    sizes = {}
    for kind in everyone():
        name = kind.name
        if kind.is_installed():
            sizes[name] = shelf.get(kind(), corpus).disk_bytes() / corpus.num_bytes
            report.rows.append([name, reads.rate(name), reads.of_floor(name), sizes[name]])
        else:
            report.rows.append([name, "not installed", "", ""])
    best, over_best = reads.over_best_peer()
    fast = reads.rate(OURS) >= ENOUGH_PER_SECOND
    report.bars = [
        Bar("reads by id", ENOUGH_PER_SECOND, reads.rate(OURS), unit="/s")
        if fast
        else Bar(f"reads of {OURS} / {FLOOR}", 0.7, reads.of_floor(OURS)),
        Bar(f"reads of {OURS} / the best peer, {best},", 5.0, over_best),
        Bar("size / raw", 1.05, sizes[OURS], at_most=True),
    ]
    return [report]
