"""Bar 1: dense features, whole and in slices."""

from __future__ import annotations

from benchmarks.bars import Bar, Report
from benchmarks.corpora import dense_corpus
from benchmarks.reading import FLOOR, OURS, compare_reads, everyone, full_reads, slices
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf

SLICE_FRAMES = 25


def measure(shelf: Shelf, scale: Scale) -> list[Report]:
    """Read random utterances, and random slices of them."""
    corpus = dense_corpus(scale.num_dense)
    whole = compare_reads(shelf, corpus, full_reads(corpus, 8, unit_bytes=1e6), scale)
    sliced = compare_reads(shelf, corpus, slices(corpus, SLICE_FRAMES, 20_000, 16), scale)
    report = Report(
        f"Dense: {len(corpus)} utterances x {corpus.shape[0]} {corpus.dtype.name}, "
        f"{corpus.num_bytes / 1e9:.2f} GB",
        ["store", "MB/s read", "/ floor", f"{SLICE_FRAMES}-frame slices/s", "slices / floor"],
    )
    for kind in everyone():
        name = kind.name
        report.rows.append(
            [
                name,
                whole.rate(name),
                whole.of_floor(name),
                sliced.rate(name),
                sliced.of_floor(name),
            ]
            if kind.is_installed()
            else [name, "not installed", "", "", ""]
        )
    best, over_best = whole.over_best_peer()
    best_sliced, over_best_sliced = sliced.over_best_peer()
    report.bars = [
        Bar(f"reads of {OURS} / {FLOOR}", 0.9, whole.of_floor(OURS)),
        Bar(f"slices of {OURS} / {FLOOR}", 0.7, sliced.of_floor(OURS)),
        Bar(f"reads of {OURS} / the best peer, {best},", 1.0, over_best),
        Bar(f"slices of {OURS} / the best peer, {best_sliced},", 1.0, over_best_sliced),
    ]
    return [report]
