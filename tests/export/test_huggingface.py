"""Datasets of Hugging Face, as the datasets library reads them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.manifest import read_manifest
from featbank.errors import ConfigError
from featbank.export import export_hf
from featbank.store import Store
from tests.export.conftest import LICENSE, NUM_CODEBOOKS, Demo, write_store

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()


def load(out: Path, cache: Path) -> Any:
    return datasets.load_dataset(str(out), cache_dir=str(cache))


def assert_holds(rows: Any, name: str, store: Store) -> None:
    assert rows["id"] == sorted(store.ids)
    for one, values in zip(rows["id"], rows[name], strict=True):
        expected = store[one]
        found = np.asarray(values, expected.dtype).reshape(expected.shape)
        np.testing.assert_array_equal(found, expected)


def test_datasets_reads_back_every_value_of_several_stores_and_what_the_manifests_say(
    demo: Demo, tmp_path: Path
) -> None:
    names = ["fbank", "units", "codes", "voice"]
    out = tmp_path / "demo"
    export_hf([demo.folder / name for name in names], out, manifests=demo.manifests)
    found = load(out, tmp_path / "cache")
    assert found.shape == {"train": (24, 9), "dev": (7, 9), "test": (7, 9)}
    features = found["train"].features
    assert features["fbank"] == datasets.Array2D(shape=(None, 8), dtype="float32")
    assert features["units"] == datasets.List(datasets.Value("uint8"))
    assert features["codes"] == datasets.List(datasets.List(datasets.Value("uint8")))
    assert features["voice"] == datasets.List(datasets.Value("float32"), length=16)
    for split, rows in found.items():
        for name in names:
            assert_holds(rows[:], name, demo.store(name, split))
        for name in ("text", "speaker", "language", "duration_s"):
            said = [getattr(one, name) for one in read_manifest(demo.manifests / f"{split}.jsonl")]
            assert list(rows[name]) == said
    [codes] = {np.shape(one)[0] for one in found["dev"]["codes"]}
    assert codes == NUM_CODEBOOKS


@pytest.mark.parametrize("name", ["half", "brain", "scaled", "energy", "stack"])
def test_floats_of_every_dtype_are_what_a_read_of_the_store_gives(
    demo: Demo, tmp_path: Path, name: str
) -> None:
    export_hf(demo.folder / name, tmp_path / "out")
    rows = load(tmp_path / "out", tmp_path / "cache")["dev"]
    store = demo.store(name, "dev")
    assert_holds(rows[:], name, store)
    feature = rows.features[name]
    assert getattr(feature, "dtype", None) == store.dtype.name or feature == datasets.List(
        datasets.Value(store.dtype.name)
    )


def test_the_card_says_the_licence_the_splits_and_where_the_values_came_from(
    demo: Demo, tmp_path: Path
) -> None:
    export_hf(demo.folder / "fbank", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert LICENSE in card
    assert "| train | 24 |" in card
    assert "| fbank | (T, 8) | float32 | float32 | 100 |" in card
    assert '"corpus": {' in card


def test_a_split_is_cut_into_files_that_are_read_as_one(tmp_path: Path) -> None:
    ids = [f"u{number:03d}" for number in range(12)]
    store = write_store(tmp_path / "s" / "train-clean", "stack", ids)
    out = tmp_path / "out"
    export_hf(store, out, shard_mb=0)
    assert len(list((out / "data").iterdir())) == len(ids)
    assert load(out, tmp_path / "cache")["train_clean"]["id"][:] == ids


def test_a_split_without_utterances_is_left_out_for_datasets_loads_none(tmp_path: Path) -> None:
    for split, ids in (("train", ["a", "b"]), ("dev", [])):
        write_store(tmp_path / "s" / split, "units", ids)
    export_hf(tmp_path / "s", tmp_path / "out")
    assert load(tmp_path / "out", tmp_path / "cache").num_rows == {"train": 2}


def test_a_feature_that_is_called_like_another_column_is_refused(
    demo: Demo, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="my_text=FOLDER"):
        export_hf(f"text={demo.folder / 'units'}", tmp_path / "out")
    assert not (tmp_path / "out").exists()
