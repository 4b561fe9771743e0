"""Files that others read keep what rows come from, too; writers that cannot, compute each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.feature_io import (
    FeatureStorageConfig,
    LilcomHdf5Reader,
    NumpyHdf5Reader,
    NumpyHdf5Writer,
    making,
)
from featbank.recipes.caching import StaleFeaturesError
from tests.recipes.caching.recipes import Counting, Speech, clean, inodes, pad, published

IDS = [f"u{number * 3 % 10}" for number in range(10)]
PADDED = {"collate_fn": pad, "batch_size": 3}
MIXED = [
    {"name": "mean", "writer_class": "featbank.feature_io.LilcomHdf5Writer"},
    {"name": "units", "dtype": "int64", "writer_class": "featbank.feature_io.NumpyHdf5Writer"},
]


def test_files_for_lhotse_are_reused_row_by_row(tmp_path: Path) -> None:
    brain = Counting(tmp_path / "a", configs=MIXED)
    brain.cache_features(Speech(IDS[:-1]), "train", PADDED)
    before = inodes(tmp_path / "a")
    assert len(before) == 2
    brain.computed.clear()
    brain.cache_features(Speech(IDS[:-1]), "train", PADDED)
    assert (brain.computed, inodes(tmp_path / "a")) == ([], before)
    brain.cache_features(Speech(IDS[2:]), "train", PADDED)
    assert brain.computed == IDS[-1:]
    assert published(tmp_path / "a") == clean(tmp_path / "b", Speech(IDS[2:]), configs=MIXED)
    assert len(brain.feature_readers["train"]["mean"]) == 8


def test_files_for_lhotse_are_refused_when_they_are_stale(tmp_path: Path) -> None:
    Counting(tmp_path, configs=MIXED).cache_features(Speech(IDS), "train", PADDED)
    with pytest.raises(StaleFeaturesError, match="gain differs"):
        Counting(tmp_path, gain=2.0, configs=MIXED).feature_readers["train"]


def test_lhotse_reads_files_that_say_where_rows_come_from(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse.features.io")
    Counting(tmp_path, configs=MIXED).cache_features(Speech(IDS), "train", PADDED)
    for name, ours, theirs in (
        ("mean", LilcomHdf5Reader, lhotse.LilcomHdf5Reader),
        ("units", NumpyHdf5Reader, lhotse.NumpyHdf5Reader),
    ):
        path = tmp_path / name / "train.h5"
        for one in IDS:
            np.testing.assert_array_equal(theirs(path).read(one), ours(path).read(one))


class Foreign:
    """A writer that knows nothing of fingerprints."""

    def __init__(self, storage_path: Path, name: str, dtype: str) -> None:
        self._writer = NumpyHdf5Writer(storage_path, name=name, dtype=dtype)
        self.name = name
        self.storage_path = self._writer.storage_path

    def __getattr__(self, name: str) -> Any:
        if name in ("describe", "encode", "write_encoded", "is_same_as"):
            raise AttributeError(name)
        return getattr(self._writer, name)

    def write(self, key: str, value: Any) -> None:
        self._writer.write(key, value)

    def prepare(self) -> None:
        self._writer.prepare()

    def commit(self) -> None:
        self._writer.commit()

    def abort(self) -> None:
        self._writer.abort()

    def __enter__(self) -> Foreign:
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)


def test_a_writer_that_keeps_no_fingerprint_computes_each_time_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [
        FeatureStorageConfig("mean", "float32", writer_class=Foreign),
        FeatureStorageConfig("units", "int64", writer_class=Foreign),
    ]
    monkeypatch.setitem(making._READER_OF, Foreign, ForeignReader)
    brain = Counting(tmp_path, configs=configs)
    for _ in range(2):
        brain.cache_features(Speech(IDS), "train", PADDED)
    assert len(brain.computed) == 2 * len(IDS)
    assert "Foreign of feature 'mean' keeps no fingerprint" in caplog.text
    assert len(brain.feature_readers["train"]["mean"]) == len(IDS)  # written by this process
    other = Counting(tmp_path, configs=configs)
    assert "train" not in other.feature_readers
    stale = Counting(tmp_path, configs=configs, allow_stale=True)
    assert len(stale.feature_readers["train"]["mean"]) == len(IDS)


class ForeignReader:
    """Reads by a reader of ours, of which it is none."""

    def __init__(self, storage_path: Path) -> None:
        self._reader = NumpyHdf5Reader(storage_path)
        self.storage_path = self._reader.storage_path

    def read(self, key: str, *offsets: int) -> Any:
        return self._reader.read(key, *offsets)

    def __contains__(self, key: object) -> bool:
        return key in self._reader

    def __len__(self) -> int:
        return len(self._reader)

    def close(self) -> None:
        self._reader.close()
