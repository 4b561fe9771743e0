"""Stores as a storage type of lhotse, written and read by lhotse itself."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lhotse import (
    CutSet,
    Fbank,
    Features,
    FeatureSet,
    MonoCut,
    NumpyHdf5Writer,
    Recording,
    SupervisionSegment,
    validate,
)
from lhotse.array import Array, TemporalArray
from lhotse.dataset.collation import collate_custom_field, collate_features

from featbank.errors import ConfigError, StoreError
from featbank.export.lhotse import FeatbankReader, FeatbankWriter
from featbank.store import StoreWriter, open_store
from tests.conftest import ROOT

# torch's tensors in lhotse's Fbank, and NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")

DEMO = ROOT / "corpora/demo"


@pytest.fixture(scope="module")
def cuts() -> CutSet:
    """Five utterances of the demo corpus at 16 kHz."""
    paths = sorted(DEMO.glob("*/*.flac"))[::8]
    return CutSet.from_cuts(
        MonoCut(
            id=path.stem, start=0, duration=recording.duration, channel=0, recording=recording,
            supervisions=[SupervisionSegment(path.stem, path.stem, 0, recording.duration)],
        )
        for path in paths
        for recording in [Recording.from_file(path, recording_id=path.stem).resample(16000)]
    )  # fmt: skip


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    with StoreWriter(path, name="km", codebook_size=65536, frame_rate=50.0) as writer:
        writer.write("a", np.arange(20))
        writer.write("b", np.array([65535]))
    return path


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_lhotse_computes_features_into_stores(cuts: CutSet, tmp_path: Path, num_jobs: int) -> None:
    computed = cuts.compute_and_store_features(
        Fbank(), tmp_path / "ours", num_jobs=num_jobs, storage_type=FeatbankWriter,
        progress_bar=False,
    )  # fmt: skip
    reference = cuts.compute_and_store_features(
        Fbank(), tmp_path / "theirs.h5", num_jobs=1, storage_type=NumpyHdf5Writer,
        progress_bar=False,
    )  # fmt: skip
    validate(computed, read_data=True)
    by_id = {cut.id: cut for cut in computed}
    for cut in reference:
        np.testing.assert_array_equal(by_id[cut.id].load_features(), cut.load_features())
    folders = {cut.features.storage_path for cut in computed}
    assert len(folders) == num_jobs
    assert sum(len(open_store(folder)) for folder in folders) == len(cuts)


def test_lhotse_computes_features_in_batches(cuts: CutSet, tmp_path: Path) -> None:
    def compute(*, overwrite: bool) -> CutSet:
        return cuts.compute_and_store_features_batch(
            Fbank(), tmp_path / "store", manifest_path=tmp_path / "cuts.jsonl.gz",
            storage_type=FeatbankWriter, num_workers=0, overwrite=overwrite,
        )  # fmt: skip

    computed = compute(overwrite=False)
    validate(computed, read_data=True)
    assert open_store(tmp_path / "store").ids == sorted(cut.id for cut in cuts)
    with pytest.raises(StoreError, match="a store is written once"):
        compute(overwrite=False)
    validate(compute(overwrite=True), read_data=True)


def test_features_are_copied_in_and_out_of_stores(cuts: CutSet, tmp_path: Path) -> None:
    first = cuts.compute_and_store_features(
        Fbank(), tmp_path / "files.h5", storage_type=NumpyHdf5Writer, num_jobs=1, progress_bar=False
    )
    with FeatbankWriter(tmp_path / "store", dtype="float16") as writer:
        packed = first.copy_feats(writer)
    with NumpyHdf5Writer(tmp_path / "again.h5") as files:
        again = packed.copy_feats(files)
    for cut in first:
        expected = cut.load_features().astype(np.float16).astype(np.float32)
        for copied in (packed, again):
            found = copied[cut.id].load_features()
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected)
    features = FeatureSet.from_features(cut.features for cut in packed)
    features.to_file(tmp_path / "features.jsonl.gz")
    for one, cut in zip(FeatureSet.from_file(tmp_path / "features.jsonl.gz"), packed, strict=True):
        np.testing.assert_array_equal(one.load(), cut.load_features())


def test_a_part_is_read_by_frames(cuts: CutSet, tmp_path: Path) -> None:
    computed = cuts.compute_and_store_features(
        Fbank(), tmp_path / "store", storage_type=FeatbankWriter, num_jobs=1, progress_bar=False
    )
    [cut, *_] = computed
    whole, part = cut.load_features(), cut.truncate(offset=0.2, duration=0.5).load_features()
    np.testing.assert_array_equal(part, whole[20:70])
    windows = list(computed.cut_into_windows(0.5))
    joined = np.concatenate([one.load_features() for one in windows if one.recording_id == cut.id])
    np.testing.assert_array_equal(joined[: len(whole)], whole)
    batch, lengths = collate_features(computed)
    assert batch.shape == (len(cuts), int(lengths.max()), 80)


def field(path: Path, key: str, shape: list[int], time: int | None, shift: float = 0.02) -> Any:
    array = Array("featbank", str(path), key, shape)
    return array if time is None else TemporalArray(array, time, shift, 0)


def token_cut(one: str, duration: float, **custom: Any) -> MonoCut:
    recording = Recording.from_file(DEMO / "allison_en/vm-next.flac", recording_id=one)
    return MonoCut(one, 0, duration, 0, recording=recording, custom=custom)


def test_tokens_come_as_integers_that_any_padding_fits_into(tokens: Path) -> None:
    cuts = CutSet.from_cuts(
        [
            token_cut("a", 0.4, km=field(tokens, "a", [20], 0)),
            token_cut("b", 0.02, km=field(tokens, "b", [1], 0)),
        ]
    )
    batch, lengths = collate_custom_field(cuts, "km", pad_value=-100)
    assert batch.dtype == torch.int64
    assert batch[1, :3].tolist() == [65535, -100, -100]
    assert lengths.tolist() == [20, 1]
    array = cuts["a"].load_km()
    array[0] = -1  # of its own: the store is as it was
    assert cuts["a"].load_km().tolist() == list(range(20))


def test_codes_are_cut_along_their_frames_and_vectors_are_whole(tmp_path: Path) -> None:
    codes, vector = np.arange(16).reshape(2, 8), np.arange(4, dtype=np.float32)
    with FeatbankWriter(tmp_path / "codes", codebook_size=16) as writer:
        stored = writer.store_array("a", codes, frame_shift=0.02, temporal_dim=1)
    with FeatbankWriter(tmp_path / "vectors") as writer:
        speaker = writer.store_array("a", vector)
    store = open_store(tmp_path / "codes")
    assert (store.frame_rate, store.dtype) == (50, np.uint8)
    cut = token_cut("a", 0.16, codes=stored, speaker=speaker)
    validate(cut)
    np.testing.assert_array_equal(cut.load_codes(), codes)
    np.testing.assert_array_equal(
        cut.truncate(offset=0.04, duration=0.06).load_codes(), codes[:, 2:5]
    )
    np.testing.assert_array_equal(cut.load_speaker(), vector)


# lhotse leaves a Shar's files open
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_shar_holds_what_the_store_held(tokens: Path, tmp_path: Path) -> None:
    cuts = CutSet.from_cuts([token_cut("a", 0.4, km=field(tokens, "a", [20], 0))])
    (tmp_path / "shar").mkdir()
    cuts.to_shar(tmp_path / "shar", {"recording": "flac", "km": "numpy"})
    [cut] = CutSet.from_shar(in_dir=tmp_path / "shar")
    assert cut.load_km().tolist() == list(range(20))


def load(cuts: CutSet) -> list[int]:
    return [int(cut.load_km().sum()) for cut in cuts]


def test_forked_workers_read_what_their_parent_has_open(tokens: Path) -> None:
    cuts = CutSet.from_cuts([token_cut("a", 0.4, km=field(tokens, "a", [20], 0))])
    assert load(cuts) == [190]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(load, [cuts] * 4)) == [[190]] * 4


def test_one_import_is_what_a_program_needs(tokens: Path, tmp_path: Path) -> None:
    CutSet.from_cuts([token_cut("a", 0.4, km=field(tokens, "a", [20], 0))]).to_file(
        tmp_path / "cuts.jsonl.gz"
    )
    program = (
        "import featbank.export.lhotse, lhotse\n"
        "[cut] = lhotse.CutSet.from_file('cuts.jsonl.gz')\n"
        "print(cut.load_km().sum(), 'featbank' in lhotse.available_storage_backends())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "190 True\n"


def test_a_store_that_was_written_again_is_read_anew(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        with FeatbankWriter(tmp_path / "store") as writer:
            writer.write("a", np.full((3, 2), value, np.float32))
        assert FeatbankReader(tmp_path / "store").read("a").max() == value


def test_an_error_leaves_no_store_and_mistakes_are_named(tmp_path: Path) -> None:
    with suppress(KeyError), FeatbankWriter(tmp_path / "store") as writer:
        writer.write("a", np.zeros((3, 2), np.float32))
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match=r"mode of FeatbankWriter: expected w, x, a"):
        FeatbankWriter(tmp_path / "store", mode="r")
    with FeatbankWriter(tmp_path / "store") as writer:
        writer.store_array("a", np.zeros((3, 2), np.float32), 0.02, 0)
        with pytest.raises(StoreError, match="frames where the first array has them"):
            writer.store_array("b", np.zeros((3, 2), np.float32))
        with pytest.raises(StoreError, match="frames on its first or last axis"):
            writer.store_array("b", np.zeros((3, 2, 2), np.float32), 0.02, 1)
    with pytest.raises(StoreError, match="expected an id among its 1, got 'b'"):
        FeatbankReader(tmp_path / "store").read("b")


def test_a_features_manifest_of_a_store_is_valid(tmp_path: Path) -> None:
    with FeatbankWriter(tmp_path / "store") as writer:
        writer.write("a", np.zeros((71, 80), np.float32))
    features = Features(
        type="fbank", num_frames=71, num_features=80, frame_shift=0.01, sampling_rate=16000,
        start=0, duration=71 * 0.01, storage_type="featbank", storage_path=str(tmp_path / "store"),
        storage_key="a",
    )  # fmt: skip
    validate(features, read_data=True)
