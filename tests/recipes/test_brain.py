"""A brain computes, stores and publishes; padded frames and half-done splits never get out."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from featbank.base.routing import route
from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.feature_io import FeatureStorageConfig
from featbank.recipes import FeatureBrain
from featbank.store import StoreWriter, open_store

CONFIGS = [FeatureStorageConfig("twice", "float16"), FeatureStorageConfig("units", "uint16")]
PaddedData = namedtuple("PaddedData", ["data", "lengths"])  # as speechbrain's


class Ragged(Dataset[Any]):
    """Utterances of 1 to 9 frames."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> tuple[str, torch.Tensor]:
        return f"u{8 - index}", torch.full((index + 1, 4), float(index))


def pad(items: Any) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    ids, values = zip(*items, strict=True)
    lengths = torch.tensor([len(one) for one in values])
    padded = torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=-99.0)
    return list(ids), padded, lengths


class Doubling(FeatureBrain):
    def compute_features(self, batch: Any, stage: str) -> Any:
        assert torch.is_inference_mode_enabled()
        assert not self.modules["linear"].training
        ids, padded, lengths = batch
        if stage == "broken" and "u0" in ids:
            raise KeyError(stage)
        twice = self.modules["linear"](padded)
        return {
            "id": ids,
            "twice": (twice, lengths),
            "units": PaddedData(twice[..., 0].long().clamp(0), lengths),
        }


@pytest.fixture
def brain(tmp_path: Path) -> Doubling:
    linear = torch.nn.Linear(4, 4, bias=False)
    torch.nn.init.eye_(linear.weight).data.mul_(2)
    return Doubling(CONFIGS, tmp_path, modules={"linear": linear})


def visible(folder: Path) -> list[Path]:
    """The files in a folder and below, but for what waits under hidden names."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path for path in found if not any(part.startswith(".") for part in path.parts)]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_padded_frames_never_reach_a_store(
    brain: Doubling, tmp_path: Path, batch_size: int, num_workers: int
) -> None:
    options = {"batch_size": batch_size, "num_workers": num_workers, "collate_fn": pad}
    brain.cache_features(Ragged(), "train", **options)
    store = open_store(tmp_path / "twice")
    assert list(store.ids) == [f"u{number}" for number in range(9)]
    for utterance_id, values in map(Ragged().__getitem__, range(9)):
        np.testing.assert_array_equal(store[utterance_id], 2 * values)
        units = brain.feature_readers["train"]["units"].read(utterance_id)
        assert (units.dtype, len(units), set(units)) == (
            np.uint16,
            len(values),
            {int(2 * values[0, 0])},
        )
    assert store.dtype == np.float16
    assert list(brain.feature_readers) == ["train"]
    assert not brain.feature_writers


def test_modes_are_restored_also_after_an_error(brain: Doubling) -> None:
    brain.modules.train()
    brain.modules["linear"].weight.requires_grad_()
    loader = DataLoader(Ragged(), batch_size=2, collate_fn=pad)
    brain.cache_features(loader, "train")
    assert brain.modules["linear"].training
    with pytest.raises(KeyError):
        brain.cache_features(loader, "broken")
    assert brain.modules["linear"].training
    assert not torch.is_inference_mode_enabled()


def test_an_error_publishes_nothing_and_leaves_what_was_there(
    brain: Doubling, tmp_path: Path
) -> None:
    loader = DataLoader(Ragged(), batch_size=2, collate_fn=pad)
    with pytest.raises(KeyError):
        brain.cache_features(loader, "broken")
    assert visible(tmp_path) == []
    assert "broken" not in brain.feature_readers
    brain.cache_features(loader, "train")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.h5")}
    ids, values, lengths = next(iter(loader))
    with pytest.raises(StoreError, match="a second one"):
        brain.cache_features([(ids, values, lengths)] * 2, "train")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.h5")} == before


def test_a_split_that_would_lose_utterances_is_not_published(brain: Doubling) -> None:
    loader = DataLoader(Ragged(), batch_size=2, collate_fn=pad)
    brain.cache_features(loader, "train")
    batches = iter(list(loader))
    list(batches)
    with pytest.raises(FeatbankError, match="expected one or more utterances, got 0; nothing was"):
        brain.cache_features(batches, "train")
    dropping = DataLoader(Ragged(), batch_size=2, collate_fn=pad, drop_last=True)
    with pytest.raises(FeatbankError, match="'train': expected 9 utterances, got 8"):
        brain.cache_features(dropping, "train")
    assert len(brain.feature_readers["train"]["twice"]) == 9


def test_codes_are_cut_where_their_time_is(tmp_path: Path) -> None:
    class Codec(FeatureBrain):
        def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
            codes = torch.arange(2 * 8 * 100).reshape(2, 8, 100) % 500
            return {"id": ["a", "b"], "codes": (codes, torch.tensor([100, 50]))}

    options = {"time_axis": -1, "codebook_size": 500}
    brain = Codec([FeatureStorageConfig("codes", "uint16", writer_kwargs=options)], tmp_path)
    brain.cache_features([None], "train")
    reader = brain.feature_readers["train"]["codes"]
    assert [reader.read(one).shape for one in "ab"] == [(8, 100), (8, 50)]
    assert reader.read("b")[1].tolist() == [number % 500 for number in range(900, 950)]


def test_a_split_is_replaced_and_readers_see_the_new_one(brain: Doubling) -> None:
    batches = list(DataLoader(Ragged(), batch_size=3, collate_fn=pad))
    brain.cache_features(batches[:1], "train")
    assert len(brain.feature_readers["train"]["twice"]) == 3
    brain.cache_features(batches, "train")
    assert len(brain.feature_readers["train"]["twice"]) == 9


def test_one_feature_that_fails_at_the_end_keeps_all_from_being_published(
    brain: Doubling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(writer: StoreWriter) -> None:
        if writer.name == "units":  # the second one
            raise StoreError("disk", expected="room", got="none")

    # a disk that fills up exactly here cannot be had
    monkeypatch.setattr(StoreWriter, "prepare", full)
    with pytest.raises(StoreError, match="expected room"):
        brain.cache_features(DataLoader(Ragged(), batch_size=2, collate_fn=pad), "train")
    assert visible(tmp_path) == []
    assert list(brain.feature_readers) == []


KILLED = """
import os, signal, sys, torch
from featbank.recipes import FeatureBrain
class Killed(FeatureBrain):
    def compute_features(self, batch, stage):
        if batch == 300:
            os.kill(os.getpid(), signal.SIGKILL)
        return [{"id": f"u{batch}", "x": torch.zeros(100, 80)}]
config = {"name": "x", "writer_kwargs": {"shard_bytes": 100_000}}
Killed([config], sys.argv[1]).cache_features(range(int(sys.argv[2])), "train")
"""


def test_a_kill_publishes_nothing_and_the_next_run_succeeds(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    assert subprocess.run([*command, "301"], check=False).returncode == -9
    assert list((tmp_path / "x").glob("[!.]*")) == []
    subprocess.run([*command, "300"], check=True)
    assert len(open_store(tmp_path / "x")) == 300
    names = sorted(path.name for path in (tmp_path / "x").iterdir())
    assert names == ["splits.json", "train"]


def wrong() -> Iterator[tuple[Any, str]]:
    frames = torch.zeros(2, 5, 3)
    yield [{"x": frames[0]}], "its id under 'id'"
    yield [{"id": "a"}], "'a': expected id and x, got id"
    yield [{"id": "a", "x": frames, "y": frames}], "expected id and x, got id, x, y"
    yield [{"id": "a", "x": (frames[0], 6)}], "expected 0 to 5 frames, .*got 6"
    yield (
        [{"id": "a", "x": (frames[0], 0.8)}],
        "numbers of frames, got shares such as 0.8; .* framing",
    )
    yield {"id": ["a", "b"], "x": frames}, "so that no padded frame is stored, got a tensor"
    yield {"id": ["a", "b"], "x": (frames, [1])}, "2 rows and lengths, got 2 and 1"
    yield {"id": "ab", "x": frames}, "a list of one id an utterance, got str"
    yield {"id": ["a", "b"]}, "expected id and x, got id"


@pytest.mark.parametrize(("returned", "message"), list(wrong()))
def test_what_is_not_one_dict_an_utterance_is_refused(returned: Any, message: str) -> None:
    with pytest.raises(FeatbankError, match=message):
        list(route(returned, ["x"]))


def test_lengths_are_frames_and_tensors_leave_the_graph() -> None:
    padded = torch.arange(10.0, requires_grad=True).reshape(5, 2)
    returned = [{"id": "a", "x": (padded, 3)}, {"id": "b", "x": (padded, torch.tensor(2))}]
    found = dict(route(returned, ["x"]))
    assert [len(found[one]["x"]) for one in "ab"] == [3, 2]
    assert not found["a"]["x"].requires_grad
    [(_, alone)] = route({"id": ["c"], "x": padded[None]}, ["x"])
    assert alone["x"].shape == (5, 2)


def test_a_brain_without_a_declared_feature_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="feature_configs: expected one entry a feature"):
        Doubling([], tmp_path)
