"""CutSets over stores, which lhotse itself reads back."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lhotse import CutSet, MonoCut, validate
from lhotse.dataset import K2SpeechRecognitionDataset
from lhotse.dataset.collation import collate_custom_field
from lhotse.dataset.input_strategies import PrecomputedFeatures

import featbank.export.lhotse
from featbank.audio import resampled_length
from featbank.base.framing import Framing
from featbank.base.manifest import MIX_CHANNELS, Utterance, read_manifest, write_manifest
from featbank.base.places import Place
from featbank.corpora.layouts.lhotse.corpus import LhotseCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import ConfigError, StoreError
from featbank.export.exporting import export_stores
from featbank.store import StoreWriter, open_store
from tests.conftest import ROOT

DEMO = ROOT / "corpora/demo"
SPLITS = ("train", "dev")
RATE = 16000
FBANK = Framing(sample_rate=RATE, window_length=400, hop_length=160)
UNITS = Framing(sample_rate=RATE, window_length=400, hop_length=320)
CODEC = Framing(sample_rate=24000, window_length=320, hop_length=320, right=319)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare the demo corpus, and write stores of four kinds over it."""
    folder = tmp_path_factory.mktemp("data")
    corpus = TableCorpus(name="demo", root=DEMO, license="", table="transcripts.tsv")
    prepare(corpus, folder / "manifests", failures_path=folder / "failures.jsonl")
    random = np.random.default_rng(0)
    for split in SPLITS:
        rows = read_manifest(folder / "manifests" / f"{split}.jsonl")
        options: dict[str, dict[str, Any]] = {
            "fbank": {"framing": FBANK},
            "units-50": {"framing": UNITS, "codebook_size": 65536},
            "codes": {"framing": CODEC, "codebook_size": 1024, "time_axis": -1},
            "speaker": {"time_axis": None},
        }
        writers = {
            name: StoreWriter(folder / name / split, name=name, **rest)
            for name, rest in options.items()
        }
        for row in rows:
            writers["fbank"].write(row.id, random.random((frames(FBANK, row), 8), np.float32))
            writers["units-50"].write(row.id, random.integers(0, 65536, frames(UNITS, row)))
            writers["codes"].write(row.id, random.integers(0, 1024, (2, frames(CODEC, row))))
            writers["speaker"].write(row.id, random.random(4, np.float32))
        for writer in writers.values():
            writer.close()
    return folder


def frames(framing: Framing, row: Utterance) -> int:
    samples = resampled_length(row.num_samples, row.sample_rate, framing.sample_rate)
    return framing.num_frames(samples)


def export(data: Path, out: Path, *names: str, **options: Any) -> Path:
    export_stores("lhotse", [data / name for name in names], out, show=False, **options)
    return out


def with_audio(data: Path) -> dict[str, Path]:
    return {"manifests": data / "manifests", "audio_root": DEMO}


def test_cuts_hold_audio_text_features_and_fields(data: Path, tmp_path: Path) -> None:
    names = ("fbank", "units-50", "codes", "speaker")
    out = export(data, tmp_path / "out", *names, **with_audio(data))
    assert sorted(path.name for path in out.glob("c*")) == [
        "cuts_dev.jsonl.gz",
        "cuts_train.jsonl.gz",
    ]
    stores = {name: open_store(data / name / "dev") for name in names}
    rows = {row.id: row for row in read_manifest(data / "manifests/dev.jsonl")}
    cuts = CutSet.from_file(out / "cuts_dev.jsonl.gz")
    assert sorted(cut.id for cut in cuts) == sorted(rows)
    for cut in cuts:
        row = rows[cut.id]
        [said] = cut.supervisions
        assert (said.text, said.speaker, said.language) == (row.text, row.speaker, row.language)
        validate(cut)
        assert cut.recording.num_samples == row.num_samples
        assert cut.recording.sampling_rate == row.sample_rate
        assert cut.features.duration == cut.num_frames * 0.01
        assert 0 <= row.duration_s - cut.duration < 0.025
        np.testing.assert_array_equal(cut.load_features(), stores["fbank"][cut.id])
        units = cut.load_units_50()
        assert units.dtype == np.int64
        np.testing.assert_array_equal(units, stores["units-50"][cut.id])
        np.testing.assert_array_equal(cut.load_speaker(), stores["speaker"][cut.id])
        codes = cut.load_codes()
        np.testing.assert_array_equal(codes, stores["codes"][cut.id][:, : codes.shape[1]])
        assert stores["codes"].num_frames(cut.id) - codes.shape[1] <= 2  # behind the last frame


def same_but_for_one(found: Any, stored: Any) -> None:
    assert 0 <= stored.shape[-1] - found.shape[-1] <= 1
    np.testing.assert_array_equal(found, stored[..., : found.shape[-1]])


def test_without_features_a_cut_is_as_long_as_its_audio(data: Path, tmp_path: Path) -> None:
    out = export(data, tmp_path / "out", "units-50", "codes", **with_audio(data))
    rows = {row.id: row for row in read_manifest(data / "manifests/train.jsonl")}
    codes = open_store(data / "codes/train")
    for cut in CutSet.from_file(out / "cuts_train.jsonl.gz"):
        assert cut.duration == rows[cut.id].duration_s
        assert cut.load_audio().shape == (1, rows[cut.id].num_samples)
        # the last frame of this codec may be mostly padding, and lhotse rounds to frames
        same_but_for_one(cut.load_codes(), codes[cut.id])


def test_a_recipe_trains_on_stores_as_on_lhotses_own(data: Path, tmp_path: Path) -> None:
    out = export(data, tmp_path / "out", "fbank", "units-50", **with_audio(data))
    cuts = CutSet.from_file(out / "cuts_train.jsonl.gz").sort_by_duration().subset(first=4)
    batch = K2SpeechRecognitionDataset(input_strategy=PrecomputedFeatures())[cuts]
    assert batch["inputs"].shape[2] == 8
    assert len(batch["supervisions"]["text"]) == 4
    units, lengths = collate_custom_field(cuts, "units_50", pad_value=-100)
    assert int((units == -100).sum()) == int((lengths.max() - lengths).sum())


def test_utterances_at_a_speed_are_recordings_at_that_speed(tmp_path: Path) -> None:
    corpus = TableCorpus(
        name="demo", root=DEMO, license="", table="transcripts.tsv", speeds=[0.9, 1.0]
    )
    prepare(corpus, tmp_path / "manifests", failures_path=tmp_path / "failures.jsonl")
    rows = {row.id: row for row in read_manifest(tmp_path / "manifests/train.jsonl")}
    with StoreWriter(
        tmp_path / "units/train", name="units", codebook_size=9, frame_rate=50.0
    ) as writer:
        for one, row in rows.items():
            writer.write(one, np.zeros(int(row.duration_s * 50), np.uint8))
    out = export(tmp_path, tmp_path / "out", "units", **with_audio(tmp_path))
    slow = [cut for cut in CutSet.from_file(out / "cuts_train.jsonl.gz") if "sp0.9" in cut.id]
    assert len(slow) == len(rows) / 2
    for cut in slow[:3]:
        row = rows[cut.id]
        assert cut.duration == row.duration_s
        assert cut.load_audio().shape == (1, round(row.duration_s * row.sample_rate))


def test_features_need_no_manifest(data: Path, tmp_path: Path) -> None:
    out = export(data, tmp_path / "out", "fbank", "units-50")
    cuts = CutSet.from_file(out / "cuts_train.jsonl.gz")
    store = open_store(data / "fbank/train")
    for cut in cuts:
        validate(cut)
        np.testing.assert_array_equal(cut.load_features(), store[cut.id])


def test_fields_are_added_to_cuts_that_are_there(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = export(data, tmp_path / "first", "units-50", **with_audio(data))
    cuts = CutSet.from_file(first / "cuts_train.jsonl.gz").to_eager()
    mine = [
        MonoCut(
            id=f"mine-{cut.id}", start=0, duration=cut.duration, channel=0,
            recording=cut.recording, supervisions=cut.supervisions, custom={"mark": number},
        )
        for number, cut in enumerate(cuts)
    ]  # fmt: skip
    other = dataclasses.replace(mine[0], id="other", supervisions=[])
    CutSet.from_cuts([*mine, other]).to_file(tmp_path / "mine.jsonl.gz")
    with caplog.at_level(logging.WARNING):
        out = export(data, tmp_path / "out", "codes", "fbank", cuts=str(tmp_path / "mine.jsonl.gz"))
    assert "1 cuts of" in caplog.text
    assert "are in no store, and stay as they are: other" in caplog.text
    *found, last = CutSet.from_file(out / "cuts.jsonl.gz")
    codes, fbank = open_store(data / "codes/train"), open_store(data / "fbank/train")
    for number, cut in enumerate(found):
        assert (cut.id, cut.mark) == (f"mine-{cuts[number].id}", number)
        same_but_for_one(cut.load_codes(), codes[cuts[number].id])
        own = fbank[cuts[number].id]
        features = cut.load_features()  # which may repeat a frame, for the cut is the audio's
        np.testing.assert_array_equal(features[: len(own)], own)
    assert not last.has_custom("codes")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"type": "MonoCut", "id": "x"}', "expected a CutSet that lhotse reads"),
        ("no JSON", "expected a CutSet that lhotse reads"),
        (
            '{"type": "MonoCut", "id": "x", "start": 0, "duration": 1, "channel": 0}',
            "expected ids of utterances in the stores, .* got x",
        ),
    ],
)
def test_cuts_that_are_none_and_cuts_of_others_are_refused(
    data: Path, tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "cuts.jsonl").write_text(f"{line}\n")
    with pytest.raises(ConfigError, match=message):
        export(data, tmp_path / "out", "codes", cuts=str(tmp_path / "cuts.jsonl"))
    assert not (tmp_path / "out").exists()


def test_an_export_of_other_cuts_or_moved_stores_is_not_taken_for_the_same(
    data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data / "fbank", tmp_path / "fbank")
    export(tmp_path, tmp_path / "out", "fbank")
    export(tmp_path, tmp_path / "out", "fbank")
    (tmp_path / "fbank").rename(tmp_path / "moved")
    moved = [f"fbank={tmp_path}/moved"]
    with pytest.raises(StoreError, match="expected a free place"):
        export_stores("lhotse", moved, tmp_path / "out", show=False)
    export_stores("lhotse", moved, tmp_path / "out", show=False, replace=True)
    [cut, *_] = CutSet.from_file(tmp_path / "out/cuts_train.jsonl.gz")
    assert cut.load_features().shape == (cut.num_frames, 8)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["units-50"], {}, "export to lhotse: expected to know where the audio is"),
        (["fbank"], {"features": "units-50"}, "option features of export to lhotse"),
        (["fbank"], {"cuts": "nowhere.jsonl.gz"}, "option cuts of export to lhotse: expected a"),
        (["fbank", "id=units-50"], {}, "export of id to lhotse: expected a name that nothing"),
        (["fbank", "a-b=units-50", "a_b=codes"], {}, "export of a_b to lhotse: expected a name"),
    ],
)
def test_what_no_cut_can_have_is_refused(
    data: Path, tmp_path: Path, names: list[str], options: dict[str, str], message: str
) -> None:
    stores = [name.replace("=", f"={data}/") if "=" in name else data / name for name in names]
    with pytest.raises(ConfigError, match=message):
        export_stores("lhotse", stores, tmp_path / "out", show=False, **options)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"channel": MIX_CHANNELS}, "the mean of all channels"),
        (
            {"audio": str(Place(container="a.tar", member="x.flac", start=0, num_bytes=9))},
            "audio inside another file",
        ),
    ],
)
def test_audio_that_lhotse_has_no_name_for_is_refused(
    data: Path, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    shutil.copytree(data / "manifests", tmp_path / "manifests")
    for split in SPLITS:
        rows = read_manifest(data / "manifests" / f"{split}.jsonl")
        rows = [dataclasses.replace(row, **changed) for row in rows]
        write_manifest(tmp_path / "manifests" / f"{split}.jsonl", rows)
    with pytest.raises(StoreError, match=message):
        export_stores(
            "lhotse", [data / "units-50"], tmp_path / "out", show=False,
            manifests=tmp_path / "manifests", audio_root=DEMO,
        )  # fmt: skip


def test_what_is_exported_comes_back_as_a_corpus(data: Path, tmp_path: Path) -> None:
    out = export(data, tmp_path / "out", "units-50", **with_audio(data))
    root = tmp_path / "corpus"
    shutil.copytree(DEMO, root)
    shutil.copytree(out, root / "cuts")
    corpus = LhotseCorpus(
        name="demo", root=root, license="", replacements={str(DEMO): ""},
        manifests={split: f"cuts/cuts_{split}.jsonl.gz" for split in SPLITS},
    )  # fmt: skip
    prepare(corpus, tmp_path / "again", failures_path=tmp_path / "failures.jsonl")
    for split in SPLITS:
        again = (tmp_path / "again" / f"{split}.jsonl").read_bytes()
        assert again == (data / "manifests" / f"{split}.jsonl").read_bytes()


def test_the_storage_type_is_registered() -> None:
    assert featbank.export.lhotse.FeatbankReader.name == "featbank"
