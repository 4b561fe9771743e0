"""Stores and manifests of the demo corpus, as exports are given them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.failures import Failure
from featbank.base.manifest import read_manifest
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.store import Store, StoreWriter, open_store

LICENSE = "CC BY-SA 3.0 and public domain"
NUM_UNITS, NUM_CODEBOOKS = 50, 4
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """The demo corpus, prepared, with a folder of splits for each kind of store."""

    folder: Path
    audio_root: Path

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests" / "demo"

    def store(self, name: str, split: str) -> Store:
        return open_store(self.folder / name / split)

    def ids(self, split: str) -> list[str]:
        return [one.id for one in read_manifest(self.manifests / f"{split}.jsonl")]


MAKERS: dict[str, tuple[dict[str, Any], Callable[[np.random.Generator, int], Any]]] = {
    "fbank": ({"dtype": "float32", "frame_rate": 100.0}, lambda rng, n: rng.random((n, 8))),
    "half": ({"dtype": "float16"}, lambda rng, n: rng.random((n, 8))),
    "brain": ({"dtype": "bfloat16"}, lambda rng, n: rng.random((n, 8))),
    "scaled": ({"dtype": "int8_scaled"}, lambda rng, n: rng.random((n, 8))),
    "energy": ({"dtype": "float64", "shape": ()}, lambda rng, n: rng.random(n)),
    "stack": ({"dtype": "float32", "shape": (3, 4)}, lambda rng, n: rng.random((n, 3, 4))),
    "voice": ({"dtype": "float32", "time_axis": None}, lambda rng, _: rng.random(16)),
    "units": (
        {"codebook_size": NUM_UNITS, "frame_rate": 50.0},
        lambda rng, n: rng.integers(0, NUM_UNITS, n),
    ),
    "codes": (
        {"codebook_size": NUM_UNITS, "time_axis": -1, "shape": (NUM_CODEBOOKS,)},
        lambda rng, n: rng.integers(0, NUM_UNITS, (NUM_CODEBOOKS, n)),
    ),
}
"""How each kind of store is written, and the values of an utterance of n frames."""


def write_store(path: Path, name: str, ids: list[str], **options: Any) -> Path:
    """Write a store of a kind; the first utterance has no frame, and one more has failed."""
    settings, make = MAKERS[name]
    rng = np.random.default_rng(len(ids))
    corpus = {"name": "demo", "license": LICENSE}
    settings = {
        "name": name,
        "shard_bytes": 3000,
        "provenance": {"corpus": corpus, "split": path.name},
        "fingerprint": "f" * 64,
        **settings,
        **options,
    }
    with StoreWriter(path, **settings) as writer:
        for number, one in enumerate(ids):
            writer.write(one, make(rng, 7 * number % 40), part=one.partition("_")[0])
        writer.fail(Failure(id="~failed", audio="x.wav", error="empty"))
    return path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, demo_corpus: Path) -> Demo:
    """The demo corpus and its stores, which tests read and never change."""
    folder = tmp_path_factory.mktemp("exported")
    corpus = TableCorpus(name="demo", root=demo_corpus, license=LICENSE, table="transcripts.tsv")
    prepare(corpus, folder / "manifests" / "demo", failures_path=folder / "failures.jsonl")
    demo = Demo(folder=folder, audio_root=demo_corpus)
    for name in MAKERS:
        for split in SPLITS:
            write_store(folder / name / split, name, demo.ids(split))
    return demo


def files_of(out: Path) -> dict[str, bytes]:
    """Return the bytes of all files of an export, its own record among them."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }
