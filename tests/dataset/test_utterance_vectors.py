"""A feature of one vector an utterance is stored, joined and filtered by like any other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from featbank.base.routing import route
from featbank.cli import main
from featbank.dataset import BucketBatchSampler, FeatureDataset, TokenWindows
from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.feature_io import FeatureStorageConfig
from featbank.files.provenance import digest
from featbank.recipes import FeatureBrain
from featbank.store import StoreWriter, open_store
from featbank.store.verify import verify
from tests.waiting import HANG_S

IDS = [f"u{number}" for number in range(7)]


def vector(utterance_id: str, size: int = 4) -> np.ndarray[Any, Any]:
    drawn = np.random.default_rng(int(utterance_id[1:]))
    return drawn.normal(size=size).astype(np.float32)


def write_vectors(path: Path, ids: list[str] = IDS, **options: Any) -> Path:
    with StoreWriter(path, name="speaker", **{"time_axis": None, **options}) as writer:
        for utterance_id in ids:
            writer.write(utterance_id, vector(utterance_id))
    return path


def write_frames(path: Path) -> Path:
    with StoreWriter(path, name="fbank", frame_rate=100.0) as writer:
        for number, utterance_id in enumerate(IDS):
            writer.write(utterance_id, np.full((3 + number, 2), number, np.float32))
    return path


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8_scaled"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_vector_is_read_as_it_was_written(
    tmp_path: Path, dtype: str, compression: str | None
) -> None:
    write_vectors(tmp_path / "s", IDS[::-1], dtype=dtype, compression=compression)
    store = open_store(tmp_path / "s")
    assert (store.shape, store.header.time_axis, len(store)) == ((4,), None, 7)
    assert not store.verify()
    for utterance_id in IDS:
        assert store[utterance_id].shape == (4,)
        np.testing.assert_allclose(store[utterance_id], vector(utterance_id), atol=0.02)
    values, _ = store.read_batch(["u3", "u1"])
    np.testing.assert_array_equal(values, [store["u3"], store["u1"]])


def test_a_number_an_utterance_is_stored_too(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="label", codebook_size=300, time_axis=None) as writer:
        writer.write("a", 7)
        writer.write("b", torch.tensor(299))
        with pytest.raises(StoreError, match="tokens from 0 to 299"):
            writer.write("c", 300)
    with pytest.raises(StoreError, match="integers: one a frame"):
        TokenWindows(tmp_path / "s", 8)
    store = open_store(tmp_path / "s")
    assert (store["a"].shape, int(store["a"]), int(store["b"])) == ((), 7, 299)
    assert store.read_batch(["b", "a"])[0].tolist() == [299, 7]


def test_rows_of_vectors_give_one_store_whatever_their_order(tmp_path: Path) -> None:
    for name, ids in (("a", IDS), ("b", IDS[::-1])):
        write_vectors(tmp_path / name, ids)
    files = [
        {one.name: one.read_bytes() for one in (tmp_path / name).iterdir()} for name in ("a", "b")
    ]
    assert files[0] == files[1]


def test_what_has_frames_is_no_vector(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "one", name="speaker", time_axis=None) as writer:
        writer.write("a", np.zeros(4, np.float32))
        with pytest.raises(StoreError, match=r"values of shape \(4,\), got \(1, 4\)"):
            writer.write("b", np.zeros((1, 4), np.float32))
    with pytest.raises(StoreError, match=r"frame_rate .* none, for there is one value"):
        StoreWriter(tmp_path / "s", name="speaker", time_axis=None, frame_rate=100.0)
    write_vectors(tmp_path / "s")
    with pytest.raises(StoreError, match="no offsets, for there is one value"):
        open_store(tmp_path / "s").read("u0", 0, 1)
    with StoreWriter(tmp_path / "frames", name="fbank") as writer, pytest.raises(StoreError):
        writer.write("a", np.float32(1))


def test_a_header_that_states_two_frames_of_a_vector_is_refused(tmp_path: Path) -> None:
    # of frames, and said to be of vectors by somebody who made the digest right
    path = write_frames(tmp_path / "s") / "header.json"
    header = json.loads(path.read_text())
    header |= {"time_axis": None, "frame_rate": None}
    del header["digest"]
    path.write_text(json.dumps({**header, "digest": digest(header)}))
    with pytest.raises(StoreError, match="one an utterance, 7"):
        open_store(tmp_path / "s")


class Embedding(FeatureBrain):
    """Frames and their mean, in the form that the split's name asks for."""

    def compute_features(self, batch: Any, stage: str) -> Any:
        ids, padded, lengths = batch
        means = torch.stack(
            [one[:length].mean(0) for one, length in zip(padded, lengths, strict=True)]
        )
        if stage == "batch":
            return {"id": ids, "frames": (padded, lengths), "mean": means}
        return [
            {"id": one, "frames": (frames, length), "mean": mean}
            for one, frames, length, mean in zip(ids, padded, lengths, means, strict=True)
        ]


@pytest.mark.parametrize("form", ["batch", "utterances"])
def test_a_recipe_declares_a_vector_in_its_config(tmp_path: Path, form: str) -> None:
    brain = Embedding(
        [
            FeatureStorageConfig("frames"),
            {"name": "mean", "writer_kwargs": {"time_axis": None}},
        ],
        tmp_path,
    )
    padded = torch.arange(24.0).reshape(2, 4, 3)
    brain.cache_features([(["a", "b"], padded, torch.tensor([4, 2]))], form)
    readers = brain.feature_readers[form]
    assert readers["frames"].read("b").shape == (2, 3)
    np.testing.assert_array_equal(readers["mean"].read("b"), padded[1, :2].mean(0))


def test_a_vector_that_is_not_declared_is_told_how(tmp_path: Path) -> None:
    brain = Embedding([{"name": "frames"}, {"name": "mean"}], tmp_path)
    batch = ["a", "b"], torch.zeros(2, 4, 3), torch.tensor([4, 2])
    with pytest.raises(FeatbankError, match=r"'mean' .* without lengths; .*time_axis: null"):
        brain.cache_features([batch], "batch")


def test_a_vector_that_comes_with_a_length_is_refused() -> None:
    pair = (torch.zeros(2, 4), torch.tensor([1, 1]))
    for returned in ({"id": ["a", "b"], "v": pair}, [{"id": "a", "v": (torch.zeros(4), 1)}]):
        with pytest.raises(FeatbankError, match=r"'v'"):
            list(route(returned, ["v"], {"v": None}))


def test_a_dataset_joins_vectors_with_frames(tmp_path: Path) -> None:
    # the vectors first: what has frames gives the lengths all the same
    dataset = FeatureDataset(
        {"speaker": write_vectors(tmp_path / "v"), "fbank": write_frames(tmp_path / "f")}
    )
    assert dataset[2]["speaker"].shape == (4,)
    assert dataset.lengths().tolist() == dataset.lengths("fbank").tolist() == [*range(3, 10)]
    sampler = BucketBatchSampler(dataset.lengths(), max_frames=20, rank=0, num_ranks=1)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=dataset.collate, num_workers=1)
    seen = []
    for batch in loader:
        assert batch["fbank"].values.shape[0] == len(batch["id"])
        torch.testing.assert_close(
            batch["speaker"], torch.from_numpy(np.stack([*map(vector, batch["id"])]))
        )
        seen += batch["id"]
    assert sorted(seen) == IDS
    torch.testing.assert_close(
        dataset.collate([dataset[1], dataset[0]])["speaker"],
        torch.from_numpy(np.stack([vector("u1"), vector("u0")])),
    )
    with pytest.raises(ConfigError, match="name of a store with frames: expected fbank"):
        dataset.lengths("speaker")


def test_utterances_are_chosen_by_their_vectors(tmp_path: Path) -> None:
    speaker = open_store(write_vectors(tmp_path / "v"))
    centroid = np.mean([speaker[one] for one in speaker], axis=0)
    near = [one for one in speaker if speaker[one] @ centroid > 0]
    dataset = FeatureDataset({"fbank": write_frames(tmp_path / "f"), "v": speaker}, ids=near)
    assert [dataset.id(number) for number in range(len(dataset))] == near
    assert 0 < len(near) < 7


def test_splits_of_vectors_are_opened_as_one(tmp_path: Path) -> None:
    write_vectors(tmp_path / "speaker" / "dev", IDS[:3])
    write_vectors(tmp_path / "speaker" / "train", IDS[3:])
    store = open_store(tmp_path / "speaker")
    assert [*store] == IDS
    assert store["u5"].shape == (4,)
    # not with what has one frame an utterance
    with StoreWriter(tmp_path / "speaker" / "test", name="speaker") as writer:
        writer.write("x", np.zeros((1, 4), np.float32))
    with pytest.raises(StoreError, match="time_axis"):
        open_store(tmp_path / "speaker")


@pytest.mark.usefixtures("on_terminal")
def test_commands_show_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_vectors(tmp_path / "v", dtype="float16"))

    def shown(*arguments: str) -> str:
        assert main([*arguments]) == 0
        return " ".join(capsys.readouterr().out.replace("│", " ").split())

    assert "shape (4,)" in shown("info", path)
    assert "none: one value an utterance" in shown("info", path)
    assert json.loads(shown("info", path, "--json"))["time_axis"] is None
    assert json.loads(shown("ls", path, "--json"))["total"] == 7
    assert "frames" not in shown("ls", path)
    assert "u3: float16 (4,)" in shown("head", path, "u3")
    assert "frame" in shown("head", path)
    assert shown("verify", path)
    assert not verify(Path(path)).damages


RECIPE = """
import sys
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataset import DynamicItemDataset
from featbank.recipes.speechbrain import stored_features
from featbank.store import open_store

dataset = DynamicItemDataset({"u2": {}, "u5": {}})
dataset.add_dynamic_item(stored_features(open_store(sys.argv[1]), "speaker"))
dataset.set_output_keys(["id", "speaker"])
batch = PaddedBatch([dataset[0], dataset[1]])
print(*batch.id, tuple(dataset[0]["speaker"].shape), tuple(batch.speaker.data.shape))
"""


@pytest.mark.slow
def test_a_dynamic_item_of_speechbrain_reads_vectors(tmp_path: Path) -> None:
    path = write_vectors(tmp_path / "v")
    done = subprocess.run(
        [sys.executable, "-c", RECIPE, path], capture_output=True, text=True, timeout=HANG_S
    )
    assert done.stdout.split("\n")[-2:] == ["u2 u5 (4,) (2, 4)", ""], done.stderr
