"""Bar 5: what added utterances rewrite, and what is uploaded again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import mean

import numpy as np

from benchmarks.bars import Bar, Report
from benchmarks.corpora import Row, token_corpus
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.uploads import measure_uploads
from featbank.store import StoreWriter, plan_shards, row_bytes

NUM_SHARDS = 40
STORE_ROWS = 2_000
STORE_ADDITIONS = 10


def measure(shelf: Shelf, scale: Scale) -> list[Report]:
    """Add utterances to a plan of shards, and to stores on disk."""
    rewritten, num_shards = _planned(scale)
    files, globals_ = _stored(shelf.folder / "growth")
    report = Report(
        f"Growth: one utterance added to {scale.grown_rows:,}, {scale.additions} times",
        ["measured", "value"],
        rows=[
            ["shards of the plan", num_shards],
            ["shards rewritten, mean", mean(rewritten)],
            ["shards rewritten, most", max(rewritten)],
            [f"store on disk of {STORE_ROWS:,}: files rewritten but the header, mean", mean(files)],
            ["store on disk: names of files that are no shards and changed", globals_],
        ],
    )
    report.bars = [
        Bar("shards rewritten, mean", 1.1, mean(rewritten), at_most=True),
        Bar("shards rewritten, most", 3, max(rewritten), at_most=True),
        Bar(
            "files changed that are neither shards nor the header",
            0,
            len(set(globals_.split()) - {"header.json"}),
            at_most=True,
        ),
    ]
    return [report, measure_uploads(shelf.folder / "uploads", scale)]


def _planned(scale: Scale) -> tuple[list[int], int]:
    """Return how many shards each addition rewrites, and how many there are."""
    rng = np.random.default_rng(5)

    def utterances(count: int) -> list[tuple[str, str, int]]:
        sizes = rng.lognormal(12, 0.6, count)
        ids = [f"{number:015x}" for number in rng.integers(1 << 60, size=count).tolist()]
        return [
            ("", one, row_bytes(one.encode(), int(size)))
            for one, size in zip(ids, sizes, strict=True)
        ]

    rows = sorted(utterances(scale.grown_rows))
    target = sum(size for _, _, size in rows) // NUM_SHARDS

    def shards(rows: list[tuple[str, str, int]]) -> set[tuple[str, ...]]:
        return {tuple(rows[i][1] for i in plan) for plan in plan_shards(rows, target)}

    before = shards(rows)
    grown = (sorted([*rows, *utterances(1)]) for _ in range(scale.additions))
    return [len(shards(one) - before) for one in grown], len(before)


def _stored(folder: Path) -> tuple[list[int], str]:
    """Return how many shards each addition rewrites, and the other files that change."""
    corpus = token_corpus(STORE_ROWS + STORE_ADDITIONS)
    order = np.random.default_rng(6).permutation(len(corpus))
    old, added = sorted(order[:STORE_ROWS]), order[STORE_ROWS:]
    target = corpus.num_bytes // NUM_SHARDS
    before = _files(folder / "before", corpus.rows(old), target)
    rewritten, others = [], set()
    for number in added:
        after = _files(folder / "after", corpus.rows(sorted([*old, number])), target)
        changed = {name for name, data in after.items() if before.get(name) != data}
        rewritten.append(sum(name.endswith(".h5") for name in changed))
        others |= {name for name in changed if not name.endswith(".h5")}
    return rewritten, " ".join(sorted(others))


def _files(path: Path, rows: Iterable[Row], shard_bytes: int) -> dict[str, bytes]:
    with StoreWriter(path, name="units", dtype="uint16", shard_bytes=shard_bytes) as writer:
        for key, values in rows:
            writer.write(key, values)
    return {file.name: file.read_bytes() for file in path.iterdir()}
