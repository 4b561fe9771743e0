"""Kaldi's ark and scp files, as kaldiio reads them back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.errors import ConfigError, StoreError
from featbank.export import export_kaldi
from tests.export.conftest import SPLITS, Demo, write_store

kaldiio = pytest.importorskip("kaldiio")


@pytest.mark.parametrize(
    ("name", "scp", "dtype"),
    [
        ("fbank", "feats", "float32"),
        ("half", "feats", "float32"),
        ("brain", "feats", "float32"),
        ("scaled", "feats", "float32"),
        ("energy", "feats", "float64"),
        ("voice", "voice", "float32"),
        ("units", "units", "int32"),
    ],
)
def test_kaldiio_reads_back_every_value(
    demo: Demo, tmp_path: Path, name: str, scp: str, dtype: str
) -> None:
    export_kaldi(demo.folder / name, tmp_path / "out", shard_mb=0 if name == "units" else 256)
    for split in SPLITS:
        found = kaldiio.load_scp(str(tmp_path / "out" / split / f"{scp}.scp"))
        store = demo.store(name, split)
        assert list(found) == sorted(store.ids)
        for one in store.ids:
            expected = store[one]
            assert found[one].dtype == dtype
            np.testing.assert_array_equal(found[one].reshape(expected.shape), expected)
            assert found[one].ndim == (2 if scp == "feats" else 1)


def test_a_folder_that_is_moved_is_read_with_a_prefix_of_ones_own(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_kaldi(demo.folder / "fbank", tmp_path / "out", prefix="moved")
    (tmp_path / "out").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    found = kaldiio.load_scp("moved/dev/feats.scp")
    assert {one: len(found[one]) for one in found} == {
        one: demo.store("fbank", "dev").num_frames(one) for one in demo.ids("dev")
    }


def test_texts_speakers_and_frames_stand_beside_the_features(demo: Demo, tmp_path: Path) -> None:
    export_kaldi(demo.folder / "fbank", tmp_path / "out", manifests=demo.manifests)
    for split in SPLITS:
        rows = read_manifest(demo.manifests / f"{split}.jsonl")
        store = demo.store("fbank", split)
        expected = {
            "text": [f"{row.id} {row.text}" for row in rows],
            "utt2spk": [f"{row.id} {row.speaker}" for row in rows],
            "utt2num_frames": [f"{row.id} {store.num_frames(row.id)}" for row in rows],
        }
        for name, lines in expected.items():
            assert (tmp_path / "out" / split / name).read_text().splitlines() == lines


@pytest.mark.parametrize("name", ["codes", "stack"])
def test_what_is_no_matrix_is_refused_before_anything_is_written(
    demo: Demo, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match=f"export of {name} to Kaldi: expected float values"):
        export_kaldi(demo.folder / name, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_id_with_a_space_is_refused_by_name(tmp_path: Path) -> None:
    write_store(tmp_path / "store", "fbank", ["a b"])
    with pytest.raises(StoreError, match="utterance 'a b': expected an id without spaces"):
        export_kaldi(tmp_path / "store", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_speaker_with_a_space_is_refused_as_one(tmp_path: Path) -> None:
    write_store(tmp_path / "train", "fbank", ["a"])
    row = Utterance(
        id="a", audio="a.wav", audio_digest="sha256:" + "0" * 64, sample_rate=16000,
        start_sample=0, num_samples=160, channel=0, speaker="Anna B",
    )  # fmt: skip
    write_manifest(tmp_path / "manifests" / "train.jsonl", [row])
    with pytest.raises(StoreError, match="speaker 'Anna B': expected an id without spaces"):
        export_kaldi(tmp_path / "train", tmp_path / "out", manifests=tmp_path / "manifests")
