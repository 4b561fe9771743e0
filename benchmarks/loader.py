"""Bar 6: a DataLoader over a store, against the store read in a loop."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from statistics import median

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
NUM_AHEAD = 8  # batches that workers may have made before the clock begins
BARE, LOADER = "read_batch in one process", f"DataLoader, {NUM_WORKERS} workers"

Batches = list[list[int]]


def measure(shelf: Shelf, scale: Scale) -> list[Report]:
    """Read the same batches of dense features, and of tokens, both ways."""
    dense = _compare(shelf, dense_corpus(scale.num_dense), scale, scale.num_dense // 16)
    tokens = _compare(shelf, token_corpus(scale.num_tokens), scale, scale.num_tokens // 100)
    ratio = float(dense.rows[1][2])
    dense.bars = [Bar(f"{LOADER} / {BARE}, dense", 0.9, ratio)]
    tokens.notes = [
        "no bar: a batch of tokens is read in less time than a process takes to hand it over"
    ]
    return [dense, tokens]


def _compare(shelf: Shelf, corpus: Corpus, scale: Scale, num_batches: int) -> Report:
    path = shelf.get(Featbank(), corpus).folder / "store"
    draws = np.random.default_rng(7).integers(0, len(corpus), (NUM_AHEAD + num_batches, BATCH_SIZE))
    batches: Batches = draws.tolist()
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
    begin = time.perf_counter()
    for batch in batches[NUM_AHEAD:]:
        store.read_batch([ids[index] for index in batch])
    return BATCH_SIZE * (len(batches) - NUM_AHEAD) / (time.perf_counter() - begin)


def _loader(path: Path, batches: Batches) -> float:
    """Return the rate after the workers have started and are at work."""
    dataset = FeatureDataset({"features": path})
    loader = DataLoader(
        dataset, batch_sampler=batches, num_workers=NUM_WORKERS, collate_fn=dataset.collate
    )
    begin = 0.0
    for number, _ in enumerate(loader, start=1):
        if number == NUM_AHEAD:
            begin = time.perf_counter()
    return BATCH_SIZE * (len(batches) - NUM_AHEAD) / (time.perf_counter() - begin)
