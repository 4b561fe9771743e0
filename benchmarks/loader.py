"""Bar 6: a DataLoader over a store, against the store read in a loop."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from benchmarks.bars import Bar, Report
from benchmarks.corpora import Corpus, dense_corpus, token_corpus
from benchmarks.ours import Featbank
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.timing import interleave, median_ratio
from featbank.dataset import FeatureDataset
from featbank.store import Store, open_store

BATCH_SIZE = 64
NUM_WORKERS = 2
NUM_AROUND = 16  # batches before the clock begins and after it ends: workers are at work in between
BARE, LOADER = "read_batch in one process", f"DataLoader, {NUM_WORKERS} workers"

Batches = list[list[int]]


def measure(shelf: Shelf, scale: Scale) -> list[Report]:
    """Read the same batches of dense features, and of tokens, both ways."""
    dense = _compare(shelf, dense_corpus(scale.num_dense), scale, scale.loader_batches)
    tokens = _compare(shelf, token_corpus(scale.num_tokens), scale, 20 * scale.loader_batches)
    ratio = float(dense.rows[1][2])
    dense.bars = [Bar(f"{LOADER} / {BARE}, dense", 0.9, ratio)]
    tokens.notes = [
        "no bar: a batch of tokens is read in less time than a process takes to hand it over"
    ]
    return [dense, tokens]


def _compare(shelf: Shelf, corpus: Corpus, scale: Scale, num_batches: int) -> Report:
    path = shelf.get(Featbank(), corpus).folder / "store"
    size = (NUM_AROUND + num_batches + NUM_AROUND, BATCH_SIZE)
    batches: Batches = np.random.default_rng(7).integers(0, len(corpus), size).tolist()
    store = open_store(path)
    rates = interleave(
        {BARE: partial(_bare, store, batches), LOADER: partial(_loader, path, batches)},
        scale.loader_rounds,
    )
    report = Report(
        f"Loader: {corpus.name}, {num_batches} batches of {BATCH_SIZE}",
        ["read by", "utterances/s", "of the bare store"],
    )
    for name, ones in rates.items():
        report.rows.append([name, median(ones), median_ratio(ones, rates[BARE])])
    return report


def _bare(store: Store, batches: Batches) -> float:
    ids = store.ids
    return _rate(store.read_batch([ids[index] for index in batch]) for batch in batches)


def _loader(path: Path, batches: Batches) -> float:
    dataset = FeatureDataset({"features": path})
    return _rate(
        DataLoader(
            dataset, batch_sampler=batches, num_workers=NUM_WORKERS, collate_fn=dataset.collate
        )
    )


def _rate(made: Iterable[Any]) -> float:
    """Return utterances a second between the first and the last batches."""
    times = [time.perf_counter() for _ in made][NUM_AROUND - 1 : -NUM_AROUND]
    return BATCH_SIZE * (len(times) - 1) / (times[-1] - times[0])
