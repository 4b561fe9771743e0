"""Items by place, id and slice; what is padded with; and batches that a dataset makes for torch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, random_split

from featbank.dataset import BucketBatchSampler, FeatureDataset, Padded
from featbank.errors import ConfigError, StoreError
from featbank.store import StoreWriter

NUM_FRAMES = {"a": 3, "b": 1, "c": 0, "d": 4, "e": 2}


def write(path: Path, value: Callable[[int], Any], **options: Any) -> Path:
    with StoreWriter(path, name="x", **options) as writer:
        for utterance_id, num_frames in NUM_FRAMES.items():
            writer.write(utterance_id, value(num_frames))
    return path


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Path]:
    return {
        "floats": write(tmp_path / "f", lambda n: np.ones((n, 2)), dtype="float16"),
        "units": write(tmp_path / "u", np.arange, codebook_size=5),
        "codes": write(
            tmp_path / "c", lambda n: np.stack([np.arange(n)] * 3), codebook_size=5, time_axis=-1
        ),
        "durations": write(tmp_path / "d", np.arange, dtype="uint32"),
    }


@pytest.fixture
def dataset(stores: dict[str, Path]) -> FeatureDataset:
    return FeatureDataset(stores)


@pytest.mark.parametrize(
    "index", ["d", 3, -2, np.int64(3), np.uint8(3), torch.tensor(3), torch.tensor([-2])]
)
def test_an_item_is_found_by_its_place_or_its_id(dataset: FeatureDataset, index: Any) -> None:
    item = dataset[index]
    assert item["id"] == dataset.id(index) == "d"
    assert item["units"].tolist() == [0, 1, 2, 3]
    assert type(item.copy()) is dict


def test_an_id_is_found_among_those_that_were_chosen(stores: dict[str, Path]) -> None:
    some = FeatureDataset(stores, ids=["d", "a", "d"])
    assert (some["d"]["id"], some["a"]["units"].tolist()) == ("d", [0, 1, 2])
    assert ("a" in some, "b" in some, "nobody" in some, 0 in some) == (True, False, False, False)
    for absent in ("b", "nobody", ""):
        with pytest.raises(
            StoreError, match=f"dataset: expected an id among its 3, got '{absent}'"
        ):
            some[absent]


def test_a_slice_is_read_when_it_is_looked_at(dataset: FeatureDataset) -> None:
    for some in (slice(1, 3), slice(None), slice(-2, None), slice(None, None, -2), slice(7, 9)):
        assert [item["id"] for item in dataset[some]] == [*NUM_FRAMES][some]
        assert len(dataset[some]) == len([*NUM_FRAMES][some])
    assert dataset[1:4][1:][0]["id"] == "c"
    batch = dataset.collate(dataset[1:4])
    assert (batch["id"], batch["units"].lengths.tolist()) == (["b", "c", "d"], [1, 0, 4])


@pytest.mark.parametrize("index", [1.0, None, [0, 1], (0, 1), np.array([0, 1]), b"a", {}])
def test_what_is_no_place_is_refused_in_words(dataset: FeatureDataset, index: Any) -> None:
    with pytest.raises(TypeError, match="index of a dataset: expected a number, an id or a slice,"):
        dataset[index]
    with pytest.raises(IndexError, match="expected an index within 5 utterances, got 5"):
        dataset[np.int64(5)]


def test_integers_are_padded_with_what_is_no_unit(dataset: FeatureDataset) -> None:
    batch = dataset.collate(dataset[:2])
    assert batch["units"].values.tolist() == [[0, 1, 2], [0, -100, -100]]
    assert batch["codes"].values[1].tolist() == [[0, -100, -100]] * 3
    assert batch["durations"].values.tolist() == [[0, 1, 2], [0, -100, -100]]
    assert batch["floats"].values[1].tolist() == [[1, 1], [0, 0], [0, 0]]
    logits = torch.zeros(2, 5, 3)  # of as many classes as there are units
    loss = torch.nn.functional.cross_entropy(logits, batch["units"].values, reduction="none")
    assert (loss > 0).tolist() == batch["units"].mask.tolist()


def test_the_mask_tells_real_frames_from_padding(dataset: FeatureDataset) -> None:
    batch = dataset.collate(dataset[:])
    for name in ("floats", "units", "codes", "durations"):
        mask = batch[name].mask
        assert (mask.dtype, mask.shape) == (torch.bool, (5, 4))
        assert mask.sum(1).tolist() == [*NUM_FRAMES.values()] == batch[name].lengths.tolist()
        assert (mask[:, 1:] <= mask[:, :-1]).all()
    assert (batch["units"].values >= 0).tolist() == batch["units"].mask.tolist()
    silent = dataset.collate([dataset["c"]])["codes"]
    assert (silent.values.shape, silent.mask.shape) == ((1, 3, 0), (1, 0))
    assert Padded(torch.zeros(0, 0), torch.zeros(0, dtype=torch.int64)).mask.shape == (0, 0)


def test_a_padded_batch_is_rebuilt_as_frameworks_rebuild_tuples(dataset: FeatureDataset) -> None:
    padded = dataset.collate(dataset[:2])["units"]
    values, lengths = padded
    for again in (
        Padded(*padded),
        Padded(one for one in padded),  # transformers' Trainer
        Padded._make(padded),
        padded._replace(values=values),
        pickle.loads(pickle.dumps(padded)),  # noqa: S301
    ):
        assert type(again) is Padded
        assert again.values.tolist() == values.tolist()
        assert again.mask.sum() == lengths.sum()


@pytest.mark.parametrize("padding", [-1, 5, np.int64(5), -100.0, {"units": 5}, {"floats": 7.5}])
def test_paddings_that_are_no_unit_are_taken(dataset: FeatureDataset, padding: Any) -> None:
    padded = FeatureDataset(dataset.stores, padding_value=padding)
    batch = padded.collate(padded[:2])
    given = padding if isinstance(padding, dict) else dict.fromkeys(dataset.stores, padding)
    assert batch["units"].values[1, 1] == given.get("units", -100)
    assert batch["floats"].values[1, 1, 0] == given.get("floats", 0)


@pytest.mark.parametrize(
    ("padding", "message"),
    [
        (
            {"units": 0},
            "padding_value of 'units': expected a number that is no unit: negative, or 5",
        ),
        ({"units": 4}, "or 5 or more, got 4"),
        ({"codes": 4.0}, "padding_value of 'codes': expected a number that is no unit"),
        (0, "padding_value of 'units': expected a number that is no unit"),
        ({"units": -0.5}, "'units': expected an integer of 64 bits, got -0.5"),
        ({"units": float("nan")}, "expected an integer of 64 bits, got nan"),
        ({"durations": 0.5}, "'durations': expected an integer of 64 bits, got 0.5"),
        ({"units": 1 << 63}, "expected an integer of 64 bits"),
        ({"units": "<pad>"}, "expected an integer of 64 bits, got '<pad>'"),
        ({"floats": 1e6}, "'floats': expected a value of float16, got 1000000.0"),
        ({"floats": "x"}, "'floats': expected a number, got 'x'"),
        ({"unit": -1}, "padding_value: expected names among .*, got unit"),
    ],
)
def test_a_padding_that_would_pass_for_a_unit_is_refused(
    stores: dict[str, Path], padding: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureDataset(stores, padding_value=padding)
    FeatureDataset({"floats": stores["floats"]}, padding_value=float("nan"))


def test_without_collate_fn_the_error_says_what_to_do(dataset: FeatureDataset) -> None:
    for num_workers in (0, 1):
        loader = DataLoader(dataset, batch_size=2, num_workers=num_workers)
        with pytest.raises(
            (ConfigError, RuntimeError),
            match=r"of one length, got .*DataLoader\(dataset, collate_fn=dataset.collate",
        ):
            next(iter(loader))
    [batch] = DataLoader(Subset(dataset, [3, 3]), batch_size=2)
    assert batch["id"] == ["d", "d"]
    assert batch["units"].tolist() == [[0, 1, 2, 3]] * 2
    assert batch["codes"].shape == (2, 3, 4)
    alone = next(iter(DataLoader(dataset, batch_size=None)))
    assert alone["floats"].shape == (3, 2)


def test_parts_and_sums_of_datasets_make_batches(
    dataset: FeatureDataset, stores: dict[str, Path]
) -> None:
    turned = FeatureDataset(stores, ids="ed", padding_value={"units": 5})
    both = ConcatDataset([dataset, turned])
    loader = DataLoader(both, batch_size=4, collate_fn=dataset.collate)
    assert [batch["id"] for batch in loader] == [["a", "b", "c", "d"], ["e", "e", "d"]]
    assert [*loader][1]["units"].values.tolist() == [[0, 1, -100, -100]] * 2 + [[0, 1, 2, 3]]
    part = Subset(both, [6, 0])
    [batch] = DataLoader(part, batch_size=2, collate_fn=dataset.collate)
    assert (batch["id"], batch["units"].lengths.tolist()) == (["d", "a"], [4, 3])
    first, second = random_split(dataset, [2, 3], torch.Generator().manual_seed(0))
    seen = [
        one
        for half in (first, second)
        for batch in DataLoader(half, batch_size=2, collate_fn=dataset.collate)
        for one in batch["id"]
    ]
    assert sorted(seen) == [*NUM_FRAMES]
    # paddings are those of the dataset that makes the batch
    [batch] = DataLoader(Subset(turned, [0, 1]), batch_size=2, collate_fn=dataset.collate)
    assert batch["units"].values[0].tolist() == [0, 1, -100, -100]
    sampler = BucketBatchSampler(
        np.concatenate([dataset.lengths(), turned.lengths()]), max_frames=8, shuffle=False
    )
    batches = [*DataLoader(both, batch_sampler=sampler, collate_fn=dataset.collate)]
    assert sum(len(batch["id"]) for batch in batches) == 7


def test_items_of_another_dataset_are_refused(
    dataset: FeatureDataset, stores: dict[str, Path]
) -> None:
    other = FeatureDataset({"units": stores["units"]})
    with pytest.raises(ConfigError, match=r"items of a batch: expected codes, .*, got id, units"):
        dataset.collate([dataset[0], other[0]])
    with pytest.raises(ConfigError, match=r"items of a batch: expected codes, .*, got id, units"):
        dataset.collate(other[:2])
    for none in ([], dataset[:0]):
        with pytest.raises(ConfigError, match="items of a batch: expected one or more, got none"):
            dataset.collate(none)
    with pytest.raises(ConfigError, match=r"items of a batch: expected those .*, got Tensor"):
        dataset.collate([torch.arange(3)])  # type: ignore[list-item]


def test_training_reads_the_split_that_is_named(tmp_path: Path) -> None:
    for split, ids in (("train", "ab"), ("test", "cd")):
        for name in ("units", "more"):
            with StoreWriter(tmp_path / name / split, name=name, codebook_size=9) as writer:
                for one in ids:
                    writer.write(one, np.arange(3))
    paths = {name: tmp_path / name for name in ("units", "more")}
    with pytest.raises(ConfigError, match="got none, and there are test, train"):
        FeatureDataset(paths)
    train = FeatureDataset(paths, split="train")
    assert [item["id"] for item in train] == ["a", "b"]
    assert len(FeatureDataset(paths, split=["test", "train"])) == 4
