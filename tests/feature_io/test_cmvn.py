"""Means and variances of a corpus and of its speakers, and features that are read by them."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from featbank.base.manifest import read_manifest, write_manifest
from featbank.cli import main
from featbank.dataset import FeatureDataset
from featbank.errors import ConfigError, StoreError
from featbank.feature_io import (
    FeatureStorageReader,
    NormalizedStore,
    compute_cmvn,
    read_cmvn,
    write_cmvn,
)
from featbank.store import Store, StoreWriter, open_store
from tests.conftest import SPLITS
from tests.extracting import prepare_corpus, run_extraction


class Project:
    """The features of the demo corpus."""

    def __init__(self, folder: Path, demo_corpus: Path, **storage: Any) -> None:
        self.root = Path(shutil.copytree(demo_corpus, folder / "corpus"))
        self.manifests = prepare_corpus(self.root)
        self.features = folder / "features" / "fbank"
        entry = {"name": "fbank", "shard_bytes": 50_000, **storage}
        run_extraction(self.root, folder / "features", num_workers=None, storage=[entry])

    def frames(self, speaker: str | None = None, splits: tuple[str, ...] = SPLITS) -> Any:
        return np.concatenate(
            [
                open_store(self.features / split)[row.id].astype(np.float64)
                for split in splits
                for row in read_manifest(self.manifests / f"{split}.jsonl")
                if speaker in (None, row.speaker)
            ]
        )

    def rows(self, split: str) -> list[Any]:
        return read_manifest(self.manifests / f"{split}.jsonl")

    def compute(self, by: str, **options: Any) -> Any:
        return compute_cmvn(self.features, self.manifests, by=by, **options)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, demo_corpus: Path) -> Project:
    return Project(tmp_path_factory.mktemp("cmvn"), demo_corpus)


def test_statistics_of_speakers_are_those_of_all_their_frames(project: Project) -> None:
    cmvn = project.compute("speaker")
    speakers = {row.speaker for split in SPLITS for row in project.rows(split)}
    assert cmvn.speakers == tuple(sorted(speakers))
    for name in (None, *cmvn.speakers):
        frames, place = project.frames(name), cmvn.place_of(name or "")
        assert cmvn.num_frames[place] == len(frames)
        np.testing.assert_allclose(cmvn.means[place], frames.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(cmvn.variances[place], frames.var(axis=0), rtol=1e-11)
    said = cmvn.provenance
    assert said["fingerprint"] == open_store(project.features).fingerprint
    assert (said["splits"], said["feature"], said["corpus"]["name"]) == (
        [*SPLITS], "fbank", "demo",
    )  # fmt: skip


def test_statistics_of_a_corpus_are_of_what_is_trained_on(project: Project) -> None:
    cmvn = project.compute("corpus")
    frames = project.frames(splits=("train",))
    assert (cmvn.speakers, cmvn.provenance["splits"]) == ((), ["train"])
    assert cmvn.num_frames.tolist() == [len(frames)]
    np.testing.assert_allclose(cmvn.means, [frames.mean(axis=0)], rtol=1e-12)
    both = project.compute("corpus", splits=["dev", "train"])
    assert both.provenance["splits"] == ["train", "dev"]
    assert both.num_frames[0] == len(project.frames(splits=("train", "dev")))


def test_however_a_store_is_cut_the_bytes_of_the_file_are_the_same(
    project: Project, demo_corpus: Path, tmp_path: Path
) -> None:
    other = Project(tmp_path, demo_corpus, shard_bytes=1 << 27)
    numbers = [len(open_store(one.features).shards) for one in (project, other)]
    assert numbers[0] > numbers[1]
    for name, one in (("one", project), ("other", other)):
        write_cmvn(tmp_path / name, one.compute("speaker"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "other").read_bytes()


def test_large_means_lose_no_digits_of_a_small_deviation_and_long_ones_no_memory(
    project: Project, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = [replace(row, part="") for row in project.rows("train")[:3]]
    write_manifest(tmp_path / "manifests/train.jsonl", rows)
    (tmp_path / "manifests/corpus.json").write_text('{"splits": {"train": {}}}')
    values = {row.id: rng.normal(1e5, 0.1, (40_000, 1)) for row in rows}
    with StoreWriter(
        tmp_path / "x/train", name="x", dtype="float64", frame_rate=100.0, fingerprint="f" * 64,
        provenance={},
    ) as writer:  # fmt: skip
        for row in rows:
            writer.write(row.id, values[row.id], row.input_digest)
    cmvn = compute_cmvn(tmp_path / "x", tmp_path / "manifests", by="corpus")
    frames = np.concatenate([values[row.id] for row in rows]) - 1e5
    np.testing.assert_allclose(cmvn.variances[0], frames.var(axis=0), rtol=1e-9)


def test_a_file_is_read_as_it_was_written_and_a_flipped_bit_is_refused(
    project: Project, tmp_path: Path
) -> None:
    path, cmvn = tmp_path / "cmvn.safetensors", project.compute("speaker")
    write_cmvn(path, cmvn)
    write_cmvn(path, cmvn)  # in the place of another
    found = read_cmvn(path)
    assert (found.speakers, found.provenance) == (cmvn.speakers, cmvn.provenance)
    for name in ("num_frames", "means", "variances"):
        assert np.array_equal(getattr(found, name), getattr(cmvn, name))
    data = bytearray(path.read_bytes())
    for place in range(8, len(data), 97):
        flipped = bytearray(data)
        flipped[place] ^= 1
        (tmp_path / "flipped").write_bytes(flipped)
        with pytest.raises(StoreError):
            read_cmvn(tmp_path / "flipped")
    with pytest.raises(StoreError, match="featbank cmvn"):
        read_cmvn(tmp_path / "missing")


def test_something_else_is_never_replaced(project: Project, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for there in (tmp_path / "notes.txt", tmp_path):
        with pytest.raises(StoreError, match="choose another place"):
            write_cmvn(there, project.compute("corpus"))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_values_that_are_read_have_a_mean_of_0_and_a_deviation_of_1(project: Project) -> None:
    store = open_store(project.features)
    by_corpus = NormalizedStore(store, project.compute("corpus", splits=SPLITS))
    assert isinstance(by_corpus, FeatureStorageReader)
    every = np.concatenate([by_corpus[one] for one in store.ids])
    assert every.dtype == np.float32
    np.testing.assert_allclose(every.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(every.std(axis=0), 1, atol=1e-4)
    paths = [project.manifests / f"{split}.jsonl" for split in SPLITS]
    by_speaker = NormalizedStore(store, project.compute("speaker"), manifests=paths)
    for speaker in {row.speaker for row in project.rows("dev")}:  # though it is held out
        rows = [row for split in SPLITS for row in project.rows(split) if row.speaker == speaker]
        theirs = np.concatenate([by_speaker[row.id] for row in rows])
        np.testing.assert_allclose(theirs.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(theirs.std(axis=0), 1, atol=1e-4)
    one = store.ids[0]
    part = by_corpus.read(one, 2, 7)
    assert np.array_equal(part, by_corpus[one][2:7])
    part[:] = 0  # it is memory of its own
    assert (len(by_corpus), one in by_corpus, "x" in by_corpus) == (38, True, False)
    means = NormalizedStore(store, project.compute("corpus", splits=SPLITS), variance=False)
    np.testing.assert_allclose(means[one], store[one] - project.frames().mean(axis=0), atol=1e-4)


def test_a_value_that_never_changes_becomes_0(project: Project, tmp_path: Path) -> None:
    source = open_store(project.features / "train")
    with StoreWriter(
        tmp_path / "x/train", name="x", frame_rate=100.0, fingerprint="f" * 64, provenance={}
    ) as writer:
        for one in source.ids:
            values = np.concatenate([source[one], np.full((len(source[one]), 1), -15.9)], axis=1)
            writer.write(one, values.astype(np.float32), source.input_digest(one))
    cmvn = compute_cmvn(tmp_path / "x", project.manifests, by="corpus")
    read = NormalizedStore(tmp_path / "x/train", cmvn)[source.ids[0]]
    assert (read[:, -1] == 0).all()
    assert (read[:, :-1] != 0).any()


def test_a_speaker_without_statistics_gets_those_of_all_frames_and_is_told(
    project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cmvn = project.compute("speaker", splits=["train"])
    dev = tmp_path / "dev.jsonl"
    write_manifest(dev, [replace(row, speaker=f"new {row.speaker}") for row in project.rows("dev")])
    held_out = {row.speaker for row in read_manifest(dev)}
    with caplog.at_level(logging.WARNING):
        reader = NormalizedStore(project.features / "dev", cmvn, manifests=[dev])
    assert f"no statistics of {len(held_out)} speakers" in caplog.text
    whole = NormalizedStore(project.features / "dev", project.compute("corpus"))
    one = project.rows("dev")[0].id
    assert np.array_equal(reader[one], whole[one])


def test_statistics_of_other_features_and_what_says_no_speaker_are_refused(
    project: Project, tmp_path: Path
) -> None:
    cmvn = project.compute("speaker")
    with pytest.raises(ConfigError, match="expected one or more, for statistics of speakers"):
        NormalizedStore(project.features / "train", cmvn)
    other = replace(cmvn, provenance={**cmvn.provenance, "fingerprint": "0" * 64})
    with pytest.raises(StoreError, match="compute them anew: featbank cmvn"):
        NormalizedStore(project.features / "train", other)
    dev = [project.manifests / "dev.jsonl"]
    reader = NormalizedStore(project.features, cmvn, manifests=dev)
    assert reader[project.rows("dev")[0].id].any()
    with pytest.raises(StoreError, match="expected a row in the manifests"):
        reader[project.rows("train")[0].id]
    shutil.copytree(project.manifests, tmp_path / "manifests")
    for split in SPLITS:
        nobody = [replace(row, speaker="") for row in project.rows(split)]
        write_manifest(tmp_path / f"manifests/{split}.jsonl", nobody)
    with pytest.raises(ConfigError, match=r"speakers in .*: expected one or more, got none"):
        compute_cmvn(project.features, tmp_path / "manifests", by="speaker")


def test_the_output_of_a_stage_is_given_as_it_is_unless_it_holds_two_features(
    project: Project, tmp_path: Path
) -> None:
    shutil.copytree(project.features, tmp_path / "fbank_mfcc/fbank")
    given = str(tmp_path / "fbank_mfcc")
    found, expected = compute_cmvn(given, project.manifests, by="corpus"), project.compute("corpus")
    np.testing.assert_array_equal(found.means, expected.means)
    assert found.provenance == expected.provenance
    shutil.copytree(project.features, tmp_path / "fbank_mfcc/mfcc")
    with pytest.raises(ConfigError, match=r"got fbank, mfcc; give one of them: .*/fbank$"):
        compute_cmvn(given, project.manifests, by="corpus")
    for url in ("s3://bucket/fbank", Path("s3://bucket/fbank")):
        with pytest.raises(StoreError, match="expected one on this disk, got a URL; fetch it"):
            compute_cmvn(url, project.manifests, by="corpus")


def test_statistics_are_of_features_of_these_manifests(project: Project, tmp_path: Path) -> None:
    for options, expected in (
        ({"by": "gender"}, "cmvn: by: expected corpus or speaker"),
        ({"by": "corpus", "splits": ["training"]}, "expected among train, dev, test"),
    ):
        with pytest.raises(ConfigError, match=expected):
            project.compute(**options)
    with pytest.raises(ConfigError, match=r"got one store; give .*fbank, and name the split dev"):
        compute_cmvn(project.features / "dev", project.manifests, by="corpus")
    shutil.copytree(project.manifests, tmp_path / "manifests")
    path = tmp_path / "manifests/train.jsonl"
    rows = project.rows("train")
    for changed, got in (
        ([replace(rows[0], speed=0.9), *rows[1:]], "got those of other audio"),
        ([replace(rows[0], id="-new"), *rows], "got none"),
    ):
        write_manifest(path, changed)
        with pytest.raises(StoreError, match=got):
            compute_cmvn(project.features, tmp_path / "manifests", by="corpus")
    with StoreWriter(
        tmp_path / "units/train", name="units", dtype="uint8", frame_rate=100.0,
        fingerprint="f" * 64, provenance={},
    ) as writer:  # fmt: skip
        writer.write(rows[0].id, np.zeros(5, np.uint8), rows[0].input_digest)
    with pytest.raises(StoreError, match="expected features, which are floats, got uint8"):
        compute_cmvn(tmp_path / "units", project.manifests, by="corpus")


def test_damaged_values_are_named_and_none_is_taken_into_a_mean(
    project: Project, tmp_path: Path
) -> None:
    features = Path(shutil.copytree(project.features, tmp_path / "fbank"))
    shard = max((features / "train").glob("*.h5"), key=lambda path: path.stat().st_size)
    data = bytearray(shard.read_bytes())
    data[-100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StoreError, match=shard.stem):
        compute_cmvn(features, project.manifests, by="corpus")


def test_a_dataset_gives_normalized_values_in_items_and_batches_in_any_process(
    project: Project, tmp_path: Path
) -> None:
    write_cmvn(tmp_path / "cmvn.safetensors", project.compute("speaker"))
    manifest = project.manifests / "train.jsonl"
    dataset = FeatureDataset(
        {"fbank": project.features, "plain": project.features}, split="train", manifest=manifest,
        cmvn={"fbank": tmp_path / "cmvn.safetensors"},
    )  # fmt: skip
    reader = NormalizedStore(
        open_store(project.features, "train"), tmp_path / "cmvn.safetensors", manifests=[manifest]
    )
    one = project.rows("train")[3].id
    assert np.array_equal(dataset[one]["fbank"].numpy(), reader[one])
    assert np.array_equal(dataset[one]["plain"].numpy(), reader.store[one])
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own
    assert torch.equal(again[one]["fbank"], dataset[one]["fbank"])
    loader = DataLoader(dataset, batch_size=5, num_workers=1, collate_fn=dataset.collate)
    batch = next(iter(loader))
    values, lengths = batch["fbank"]
    for name, row, length in zip(batch["id"], values, lengths, strict=True):
        assert np.array_equal(row[:length].numpy(), reader[name])
        assert not row[length:].any()
    with pytest.raises(ConfigError, match="cmvn: expected among plain, got fbank"):
        FeatureDataset(
            {"plain": project.features}, split="train", manifest=manifest,
            cmvn={"fbank": tmp_path / "cmvn.safetensors"},
        )  # fmt: skip


def test_half_precision_is_normalized_in_single(demo_corpus: Path, tmp_path: Path) -> None:
    project = Project(tmp_path, demo_corpus, dtype="float16")
    dataset = FeatureDataset(
        {"fbank": project.features}, split="train", cmvn={"fbank": project.compute("corpus")}
    )
    assert isinstance(dataset.stores["fbank"], Store)
    assert dataset[0]["fbank"].dtype == torch.float32
    assert dataset.collate([dataset[0], dataset[1]])["fbank"].values.dtype == torch.float32


@pytest.mark.usefixtures("on_terminal")
def test_the_command_writes_the_file_and_says_what_of(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cmvn.safetensors"
    given = ["--manifests", str(project.manifests), "--by"]
    assert main(["cmvn", str(project.features), *given, "speaker", str(out)]) == 0
    frames = len(project.frames())
    assert capsys.readouterr().out == f"{out}: 4 speakers, {frames:,} frames of train, dev, test\n"
    assert main(["cmvn", str(project.features), str(out), *given, "corpus", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "out": str(out), "by": "corpus", "splits": ["train"], "num_speakers": 0,
        "num_frames": len(project.frames(splits=("train",))),
    }  # fmt: skip
    assert main(["cmvn", str(tmp_path / "no"), str(out), *given, "corpus"]) == 1
    assert "StoreError" in capsys.readouterr().err
