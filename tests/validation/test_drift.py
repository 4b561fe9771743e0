"""What drifted between two versions of a corpus is found, and what merely grew is not."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import yaml

from featbank.store import StoreWriter, open_store
from featbank.validation.drift import CorpusVersion, find_drift
from featbank.validation.drift_result import (
    Drift,
    DriftKind,
)
from featbank.validation.stores import validate_stores
from tests.conftest import ROOT
from tests.extracting import extract_corpus, prepare_corpus

CONF = yaml.safe_load((ROOT / "conf" / "validate.yaml").read_text())["drift"]
NUM_UNITS = 24
Wave = np.ndarray[Any, np.dtype[np.float64]]
Change = Callable[[Wave, int], tuple[Wave, int]]
Row = dict[str, str]


def quieter(wave: Wave, rate: int) -> tuple[Wave, int]:
    return wave * 10 ** (-6 / 20), rate


def narrow(wave: Wave, rate: int) -> tuple[Wave, int]:
    """Audio that went through 8 kHz, and says nothing of it."""
    there = soxr.resample(wave, rate, 8000)
    return soxr.resample(there, 8000, rate)[: len(wave)], rate


def resampled(wave: Wave, rate: int) -> tuple[Wave, int]:
    return soxr.resample(wave, rate, 8000), 8000


def longer(wave: Wave, rate: int) -> tuple[Wave, int]:
    """The same speech, three times in an utterance."""
    return np.tile(wave, 3), rate


def as_it_is(wave: Wave, rate: int) -> tuple[Wave, int]:
    return wave, rate


class Corpora:
    """Versions of the demo corpus: its real audio, changed, with features and units of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._centroids: Any = None
        with open(ROOT / "corpora/demo/transcripts.tsv", encoding="utf-8") as file:
            self.rows: list[Row] = list(csv.DictReader(file, delimiter="\t"))

    def version(
        self, name: str, change: Change = as_it_is, rows: Iterable[Row] | None = None
    ) -> CorpusVersion:
        root = self._folder / name / "corpus"
        rows = [{**row, "split": "train"} for row in (self.rows if rows is None else rows)]
        for row in rows:
            wave, rate = soundfile.read(ROOT / "corpora/demo" / row["path"])
            path = root / row["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, *change(wave, rate))
        with open(root / "transcripts.tsv", "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        manifests = prepare_corpus(root)
        features, tokens = root.parent / "features", root.parent / "tokens"
        extract_corpus(root, features)
        self._tokenize(features / "fbank" / "train", tokens / "units" / "train")
        kinds = {"features/fbank": features, "tokens/fbank-k": tokens}
        checks = {
            name: validate_stores(folder, manifests, name=name) for name, folder in kinds.items()
        }
        assert [one.all_problems for one in checks.values()] == [[], []]
        return CorpusVersion(manifests=manifests, checks=checks)

    def _tokenize(self, features: Path, tokens: Path) -> None:
        """Write the nearest of some frames of the first version, as units."""
        store = open_store(features)
        if self._centroids is None:
            frames = np.concatenate([store[one] for one in store.ids])
            self._centroids = frames[np.random.default_rng(0).permutation(len(frames))[:NUM_UNITS]]
        header = store.header
        with StoreWriter(
            tokens, name="units", dtype="uint8", shape=(), frame_rate=header.frame_rate,
            first_frame_center_s=header.first_frame_center_s, framing=header.framing,
            fingerprint="f" * 64,
            provenance={
                "codebook": {"num_clusters": NUM_UNITS, "sha256": "c"}, "stores": ["units"],
            },
        ) as writer:  # fmt: skip
            for one in store.ids:
                distances = np.square(store[one][:, None] - self._centroids).sum(axis=2)
                units = distances.argmin(axis=1).astype(np.uint8)
                writer.write(one, units, input_digest=store.input_digest(one))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Corpora:
    return Corpora(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="module")
def whole(corpora: Corpora) -> CorpusVersion:
    return corpora.version("whole")


def drift(older: CorpusVersion, newer: CorpusVersion) -> Drift:
    thresholds = {kind: CONF[kind] for kind in DriftKind}
    return find_drift(
        older, newer, corpus="demo", against="v1", thresholds=thresholds, chance=CONF["chance"]
    )
