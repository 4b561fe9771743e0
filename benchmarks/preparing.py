"""Bar: manifests of a table of many segments, in bounded memory."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.bars import Bar, Report
from benchmarks.fresh import in_fresh_process, memory_mb
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare

RATE = 16_000
RECORDING_S = 60
NUM_SPEAKERS = 50


def measure(shelf: Shelf, scale: Scale) -> list[Report]:
    """Prepare segments of one recording, beside the least that can be done with their table."""
    number = scale.manifest_rows
    root = shelf.folder / "preparing" / "corpus"
    _make(root, number)
    prepared_s, peak_mb = in_fresh_process(_prepare, root)
    again_s, _ = in_fresh_process(_prepare, root)
    floor_s, floor_mb = in_fresh_process(_floor, root)
    report = Report(
        f"Manifests: a table of {number:,} segments",
        ["", "rows/s", "peak MB"],
        rows=[
            ["prepare", number / prepared_s, peak_mb],
            ["prepare, nothing changed", number / again_s, peak_mb],
            ["floor: csv, sorted, JSON lines", number / floor_s, floor_mb],
        ],
    )
    report.bars = [
        Bar("peak of resident memory", 300, peak_mb, at_most=True, unit=" MB"),
        Bar("rows a second, against the floor", 0.15, floor_s / prepared_s),
    ]
    return [report]


def _make(root: Path, number: int) -> None:
    root.mkdir(parents=True)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, RECORDING_S * RATE)
    soundfile.write(root / "recording.flac", noise, RATE)
    starts = np.random.default_rng(1).uniform(0, RECORDING_S - 3, number)
    with open(root / "table.tsv", "w") as file:
        file.write("path\tid\tstart\tduration\tspeaker\ttext\n")
        for row, start in enumerate(starts.tolist()):
            speaker = row % NUM_SPEAKERS
            file.write(
                f"recording.flac\tu{row:08d}\t{start:.3f}\t2.5\ts{speaker}\twords of {row}\n"
            )


def _prepare(root: Path) -> tuple[float, float]:
    """Return how long it takes, and the peak of memory."""
    corpus = TableCorpus(
        name="many", root=root, license="none", table="table.tsv", split_rule={"by": "hash"}
    )
    begin = time.perf_counter()
    prepare(corpus, root.parent / "manifests", failures_path=root.parent / "failures.jsonl")
    return time.perf_counter() - begin, memory_mb("VmHWM")


def _floor(root: Path) -> tuple[float, float]:
    begin = time.perf_counter()
    with open(root / "table.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    rows.sort(key=lambda row: row["id"])
    with open(root.parent / "floor.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return time.perf_counter() - begin, memory_mb("VmHWM")
