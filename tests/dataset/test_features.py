"""Stores joined by id: what an item and a batch hold, and what may not be missing unseen."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from featbank.base.failures import Failure
from featbank.base.manifest import Utterance, write_manifest
from featbank.dataset import FeatureDataset
from featbank.errors import ConfigError, ManifestError, StoreError
from featbank.store import StoreWriter, open_store

IDS = [f"speaker-{number % 3}/ü-{number:02d}" for number in range(20)]


def features(utterance_id: str) -> np.ndarray:
    number = IDS.index(utterance_id)
    rng = np.random.default_rng(number)
    return rng.standard_normal((number % 7, 4)).astype(np.float16)


def units(utterance_id: str) -> np.ndarray:
    return np.arange(IDS.index(utterance_id) % 5 + 1)


def codes(utterance_id: str) -> np.ndarray:
    return np.stack([units(utterance_id), 1000 + units(utterance_id)])


def write(
    path: Path,
    value: Callable[[str], Any],
    ids: list[str] = IDS,
    failed: tuple[str, ...] = (),
    **options: Any,
) -> Path:
    with StoreWriter(path, name="x", shard_bytes=600, **options) as writer:
        for utterance_id in ids:
            writer.write(utterance_id, value(utterance_id))
        for utterance_id in failed:
            writer.fail(Failure(id=utterance_id, audio="a.wav", error="bad"))
    return path


def manifest(path: Path, ids: list[str] = IDS) -> Path:
    write_manifest(
        path,
        [
            Utterance(
                id=one,
                audio=f"{one}.wav",
                audio_digest="md5:0",
                sample_rate=16000,
                num_samples=1,
                text=f"text of {one}",
                speaker=one.split("/")[0],
            )
            for one in ids
        ],
    )
    return path


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Path]:
    return {
        "features": write(tmp_path / "f", features, dtype="float16"),
        "units": write(tmp_path / "u", units, codebook_size=500),
        "codes": write(tmp_path / "c", codes, codebook_size=1024, time_axis=-1),
    }


def test_an_item_holds_tensors_and_texts_in_memory_of_its_own(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    dataset = FeatureDataset(
        stores, manifest=manifest(tmp_path / "m.jsonl"), fields=["text", "speaker"]
    )
    assert len(dataset) == len(IDS)
    assert [dataset.id(index) for index in range(len(dataset))] == sorted(IDS)
    for item in map(dataset.__getitem__, range(len(dataset))):
        one = item["id"]
        np.testing.assert_array_equal(item["features"].numpy(), features(one), strict=True)
        np.testing.assert_array_equal(item["units"].numpy(), units(one), strict=True)
        np.testing.assert_array_equal(item["codes"].numpy(), codes(one), strict=True)
        assert (item["text"], item["speaker"]) == (f"text of {one}", one.split("/")[0])
    dataset[0]["units"].fill_(9)
    assert dataset[0]["units"].tolist() == units(dataset.id(0)).tolist()
    assert dataset[-1]["id"] == dataset.id(19)
    with pytest.raises(IndexError, match="expected an index within 20 utterances, got 20"):
        dataset[20]


def check_batch(batch: Mapping[str, Any]) -> None:
    ids = batch["id"]
    for name, value in (("features", features), ("units", units), ("codes", codes)):
        padded, lengths = batch[name]
        padding = 0 if name == "features" else -100
        expected = [torch.from_numpy(value(one)) for one in ids]
        assert lengths.tolist() == [one.shape[-1 if name == "codes" else 0] for one in expected]
        for row, one, length in zip(padded, expected, lengths.tolist(), strict=True):
            inside, behind = (
                (row[:, :length], row[:, length:])
                if name == "codes"
                else (row[:length], row[length:])
            )
            assert torch.equal(inside, one)
            assert (behind == padding).all()
    assert batch["text"] == [f"text of {one}" for one in ids]


@pytest.mark.parametrize(("num_workers", "context"), [(0, None), (2, "fork"), (1, "spawn")])
def test_loaders_give_padded_batches_from_any_kind_of_worker(
    stores: dict[str, Path], tmp_path: Path, num_workers: int, context: str | None
) -> None:
    dataset = FeatureDataset(
        stores, manifest=manifest(tmp_path / "m.jsonl"), padding_value={"units": -100}
    )
    dataset[0]  # shards are open before the fork
    loader = DataLoader(
        dataset,
        batch_size=6,
        shuffle=True,
        num_workers=num_workers,
        multiprocessing_context=context,
        collate_fn=dataset.collate,
    )
    seen = []
    for batch in loader:
        check_batch(batch)
        seen += batch["id"]
    assert sorted(seen) == sorted(IDS)


def test_batches_of_plain_items_are_the_same(stores: dict[str, Path], tmp_path: Path) -> None:
    dataset = FeatureDataset(
        stores, manifest=manifest(tmp_path / "m.jsonl"), padding_value={"units": -100}
    )
    check_batch(dataset.collate([dataset[3], dataset[0], dataset[3]]))
    chosen = dataset.__getitems__([3, 0, 3])
    assert [item["id"] for item in chosen] == [dataset.id(index) for index in (3, 0, 3)]
    check_batch(dataset.collate(chosen[1:]))


def test_lengths_are_those_of_each_store(stores: dict[str, Path]) -> None:
    dataset = FeatureDataset(stores)
    ids = sorted(IDS)
    assert dataset.lengths().tolist() == [len(features(one)) for one in ids]
    assert dataset.lengths("codes").tolist() == [len(units(one)) for one in ids]
    some = FeatureDataset(stores, ids=[IDS[7], IDS[2], IDS[7]])
    assert some.lengths("units").tolist() == [len(units(one)) for one in (IDS[7], IDS[2], IDS[7])]


def test_chosen_ids_come_in_their_order_and_must_be_there(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    dataset = FeatureDataset(stores, ids=iter([IDS[7], IDS[2]]))
    assert [dataset.id(index) for index in range(len(dataset))] == [IDS[7], IDS[2]]
    with pytest.raises(StoreError, match=r"all ids that were chosen, got 1 missing.*'nobody'"):
        FeatureDataset(stores, ids=["nobody"])
    some = FeatureDataset(stores, ids=["nobody", IDS[3]], skip_missing=True)
    assert [some.id(index) for index in range(len(some))] == [IDS[3]]
    fewer = write(tmp_path / "fewer", units, IDS[:5], codebook_size=5)
    with pytest.raises(StoreError, match=r"store 'fewer' .*1 missing, the first 'speaker-2/ü-05'"):
        FeatureDataset({**stores, "fewer": fewer}, ids=IDS[4:6])
    with pytest.raises(StoreError, match="manifest: expected all ids that were chosen, got 1"):
        FeatureDataset(stores, ids=IDS[:3], manifest=manifest(tmp_path / "m.jsonl", IDS[1:]))


def test_nothing_is_left_out_unseen(stores: dict[str, Path], tmp_path: Path) -> None:
    fewer = write(tmp_path / "fewer", units, IDS[:17], codebook_size=500)
    for joined, where in (
        ({**stores, "fewer": fewer}, "store 'fewer' at"),
        ({"fewer": fewer, **stores}, "store 'fewer' at"),
    ):
        with pytest.raises(StoreError, match=f"{where}.*3 missing, the first .*skip_missing"):
            FeatureDataset(joined)
        dataset = FeatureDataset(joined, skip_missing=True)
        assert [dataset.id(index) for index in range(17)] == sorted(IDS[:17])
        check = dataset.collate([dataset[index] for index in range(17)])
        assert check["features"].lengths.tolist() == dataset.lengths("features").tolist()
    listed = manifest(tmp_path / "more.jsonl", [*IDS, "speaker-9/new"])
    with pytest.raises(StoreError, match=r"all utterances of the others, got 1 missing.*-9/new"):
        FeatureDataset(stores, manifest=listed)
    assert len(FeatureDataset(stores, manifest=listed, skip_missing=True)) == 20
    listed = manifest(tmp_path / "less.jsonl", IDS[2:])
    with pytest.raises(
        StoreError, match="manifest: expected all utterances of the others, got 2 missing"
    ):
        FeatureDataset(stores, manifest=listed)
    assert len(FeatureDataset(stores, manifest=listed, skip_missing=True)) == 18


def test_what_failed_is_no_surprise(tmp_path: Path) -> None:
    ids = IDS[:-1]
    failed = write(tmp_path / "failed", units, ids, failed=(IDS[-1],), codebook_size=500)
    whole = write(tmp_path / "whole", features, dtype="float16")
    listed = manifest(tmp_path / "m.jsonl")
    for joined in ({"u": failed, "f": whole}, {"f": whole, "u": failed}, {"u": failed}):
        dataset = FeatureDataset(joined, manifest=listed)
        assert [dataset.id(index) for index in range(len(dataset))] == sorted(ids)


def test_a_store_that_is_cut_elsewhere_joins_and_splits_open_as_one(tmp_path: Path) -> None:
    write(tmp_path / "a" / "train", units, IDS[:12], codebook_size=500)
    write(tmp_path / "a" / "dev", units, IDS[12:], codebook_size=500)
    listed = [manifest(tmp_path / "t.jsonl", IDS[:12]), manifest(tmp_path / "d.jsonl", IDS[12:])]
    whole = write(tmp_path / "b", features, dtype="float16")
    both = open_store(tmp_path / "a", ["dev", "train"])
    dataset = FeatureDataset({"units": both, "features": whole}, manifest=listed)
    assert {dataset.id(index) for index in range(20)} == set(IDS)
    for item in map(dataset.__getitem__, range(20)):
        assert item["features"].tolist() == features(item["id"]).tolist()
        assert item["text"] == f"text of {item['id']}"


def test_an_id_in_two_splits_or_two_manifests_is_refused(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    write(tmp_path / "a" / "train", units, IDS[:12], codebook_size=500)
    write(tmp_path / "a" / "dev", units, IDS[11:], codebook_size=500)
    with pytest.raises(StoreError, match=f"each id in one of its splits, got '{IDS[11]}' in two"):
        FeatureDataset({"units": tmp_path / "a"}, split=["train", "dev"])
    listed = [manifest(tmp_path / "1.jsonl", IDS), manifest(tmp_path / "2.jsonl", IDS[:1])]
    with pytest.raises(ManifestError, match=f"'{IDS[0]}': expected a row in one manifest"):
        FeatureDataset(stores, manifest=listed)


def test_what_is_left_out_is_logged(
    stores: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fewer = write(tmp_path / "fewer", units, IDS[:17], (IDS[18],), codebook_size=500)
    FeatureDataset({"fewer": fewer, **stores}, skip_missing=True)
    assert "3 of 20 utterances are left out, 1 of them listed as failed" in caplog.text
    assert f"store 'fewer' at {fewer} lacks 3" in caplog.text


def test_wrong_calls_are_refused(stores: dict[str, Path], tmp_path: Path) -> None:
    listed = manifest(tmp_path / "m.jsonl")
    for call, error, message in (
        (lambda: FeatureDataset({}), ConfigError, "expected one or more, got none"),
        (lambda: FeatureDataset({"id": stores["units"]}), ConfigError, "another than 'id'"),
        (
            lambda: FeatureDataset({"text": stores["units"]}, manifest=listed),
            ConfigError,
            "names of their own, got text",
        ),
        (
            lambda: FeatureDataset(stores, manifest=listed, fields=["txt"]),
            ConfigError,
            "among text, speaker, .*got txt",
        ),
        (
            lambda: FeatureDataset(stores, padding_value={"unit": 1}),
            ConfigError,
            "names among features, units, codes, got unit",
        ),
        (lambda: FeatureDataset({"x": tmp_path / "no"}), StoreError, "no folder"),
        (lambda: FeatureDataset(stores).lengths("unit"), ConfigError, "features or units or codes"),
        (lambda: FeatureDataset(stores, manifest=tmp_path / "no"), ManifestError, "nothing there"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_a_pickled_dataset_reads_the_same(stores: dict[str, Path], tmp_path: Path) -> None:
    dataset = FeatureDataset(stores, manifest=manifest(tmp_path / "m.jsonl"))
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 10_000
    again = pickle.loads(pickled)  # noqa: S301
    assert [again[index]["text"] for index in range(20)] == [
        f"text of {one}" for one in sorted(IDS)
    ]
