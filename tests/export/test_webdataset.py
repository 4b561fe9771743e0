"""Tars of webdataset, as its own pipeline reads them back."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.manifest import read_manifest
from featbank.errors import ConfigError
from featbank.export import export_webdataset
from featbank.store import open_store
from tests.export.conftest import Demo, files_of, write_store

wds = pytest.importorskip("webdataset")

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def read(*tars: Path) -> list[Mapping[str, Any]]:
    dataset = wds.WebDataset([str(tar) for tar in sorted(tars)], shardshuffle=False)
    samples = list(dataset.decode())
    del dataset
    gc.collect()  # it leaves the last tar open, which would be told in another test
    return samples


def test_webdataset_reads_back_every_value_and_what_the_manifests_say(
    demo: Demo, tmp_path: Path
) -> None:
    names = ["fbank", "half", "codes", "units", "voice"]
    export_webdataset(
        [demo.folder / name for name in names], tmp_path / "out", manifests=demo.manifests
    )
    for split in ("train", "dev", "test"):
        samples = read(*(tmp_path / "out").glob(f"{split}-*.tar"))
        assert [one["__key__"] for one in samples] == demo.ids(split)
        for sample, row in zip(
            samples, read_manifest(demo.manifests / f"{split}.jsonl"), strict=True
        ):
            for name in names:
                expected = demo.store(name, split)[row.id]
                assert sample[f"{name}.npy"].dtype == expected.dtype
                np.testing.assert_array_equal(sample[f"{name}.npy"], expected)
            said = sample["json"]
            assert (said["id"], said["text"], said["speaker"]) == (row.id, row.text, row.speaker)
            assert said["num_frames"]["units"] == len(sample["units.npy"])
            assert "voice" not in said["num_frames"]


def test_ids_with_dots_and_percents_keep_their_utterance_together(tmp_path: Path) -> None:
    ids = ["a.b/c.1.x", "a.b/c.2", "a/50%", "a/50%25"]
    write_store(tmp_path / "store", "units", ids)
    export_webdataset(tmp_path / "store", tmp_path / "out", shard_mb=0)
    tars = sorted((tmp_path / "out").glob("*.tar"))
    assert [tar.name for tar in tars] == [f"store-{number:06d}.tar" for number in range(4)]
    samples = read(*tars)
    assert [one["json"]["id"] for one in samples] == ids
    store = open_store(tmp_path / "store")
    for one, sample in zip(ids, samples, strict=True):
        np.testing.assert_array_equal(sample["units.npy"], store[one])


def test_bytes_follow_from_the_store_alone(demo: Demo, tmp_path: Path) -> None:
    for out in ("a", "b"):
        export_webdataset(demo.folder / "fbank", tmp_path / out)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    record = json.loads((tmp_path / "a" / ".featbank-export.json").read_text())
    assert str(tmp_path) not in json.dumps(record)


def test_names_that_webdataset_would_take_for_one_are_refused(demo: Demo, tmp_path: Path) -> None:
    units = demo.folder / "units"
    with pytest.raises(ConfigError, match="more than the case of letters"):
        export_webdataset([units, f"Units={units}"], tmp_path / "out")
