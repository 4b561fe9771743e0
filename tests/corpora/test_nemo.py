"""NeMo's manifests, of files and of tars."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.base.manifest import read_manifest
from featbank.base.places import Place
from featbank.corpora.base import Listing
from featbank.corpora.layouts.nemo import NemoCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import ConfigError

Recorder = Callable[..., Path]


def manifest(path: Path, *rows: dict[str, Any] | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))


def nemo(root: Path, manifests: Any = "m.json", **arguments: Any) -> NemoCorpus:
    return NemoCorpus(name="c", root=root, license="", manifests=manifests, **arguments)


def test_manifests_are_splits_of_files_and_segments(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    for path in ("wavs/a.wav", "wavs/b.wav", "wavs/d.wav", "meta/clips/c.wav"):
        record(path)
    manifest(
        root / "train_manifest.json",
        {"audio_filepath": "wavs/a.wav", "duration": 0.1, "text": "1", "speaker": 7, "lang": "en"},
        {"audio_filepath": f"{root}/wavs/b.wav", "duration": 0.05, "offset": 0.0, "text": "two"},
        {"audio_filepath": "wavs/b.wav", "duration": 0.05, "offset": 0.05, "source_lang": "de"},
    )  # fmt: skip
    manifest(
        root / "meta" / "dev.json",
        {
            "audio_filepath": "clips/c.wav",
            "duration": 0.1,
            "id": "c-1",
            "wer": float("nan"),
            "x": [1],
        },
        {"audio_filepath": "wavs/d.wav", "duration": None, "text": None},
    )
    corpus = nemo(root, {"train": "train_manifest.json", "dev": "meta/dev.json"}, language="fr")
    prepare(corpus, tmp_path / "out", failures_path=tmp_path / "failures")
    rows = {split: read_manifest(tmp_path / f"out/{split}.jsonl") for split in ("train", "dev")}
    assert [
        (row.id, row.audio, row.start_sample, row.num_samples, row.text, row.speaker, row.language)
        for row in rows["train"]
    ] == [
        ("wavs/a", "wavs/a.wav", 0, 1600, "1", "7", "en"),
        ("wavs/b-0000000-0000050", "wavs/b.wav", 0, 800, "two", "", "fr"),
        ("wavs/b-0000050-0000100", "wavs/b.wav", 800, 800, "", "", "de"),
    ]
    assert [(row.id, row.audio) for row in rows["dev"]] == [
        ("c-1", "meta/clips/c.wav"), ("wavs/d", "wavs/d.wav"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{", "JSON"),
        ("[1]", "JSON"),
        ({"duration": 1}, "expected audio_filepath, got none"),
        ({"audio_filepath": ""}, "expected audio_filepath, got none"),
        ({"audio_filepath": ["a.wav"]}, "expected text"),
        ({"audio_filepath": "a.wav", "duration": float("nan")}, "expected seconds, 0 or more"),
        ({"audio_filepath": "../a.wav"}, "a path inside the corpus"),
        ({"audio_filepath": "/etc/passwd"}, "a path inside the corpus"),
        ({"audio_filepath": "a\0.wav"}, "a control character"),
        ({"audio_filepath": "a.wav", "duration": 0}, "above 0"),
        ({"audio_filepath": "a.wav", "duration": -1}, "seconds, 0 or more"),
        ({"audio_filepath": "a.wav", "duration": True}, "expected seconds"),
        ({"audio_filepath": "a.wav", "offset": "x"}, "seconds, 0 or more"),
        ({"audio_filepath": "a.wav", "speaker": {}}, "expected text"),
    ],
)
def test_a_bad_row_is_a_failure_of_its_line(root: Path, row: Any, told: str) -> None:
    manifest(root / "meta/m.json", row, {"audio_filepath": "b.wav"})
    [failure] = (listing := nemo(root, "meta/m.json").list_utterances()).failures
    assert (failure.id, failure.kind) == ("meta/m.json:1", "bad_row")
    assert told in f"{failure.error}: expected {failure.expected}, got {failure.got}"
    assert [row.id for row in listing.rows] == ["b"]


@pytest.fixture
def tarred(root: Path, record: Recorder) -> Path:
    """Write two tars of two files each, and return the root."""
    for number in range(2):
        with tarfile.open(root / f"audio_{number}.tar", "w") as tar:
            for name in ("a", "b"):
                tar.add(record(f"{name}{number}.flac"), f"{name}{number}.flac")
    for path in root.glob("*.flac"):
        path.unlink()
    return root


def of_tars(root: Path, *rows: dict[str, Any], tars: str = "audio_{0..1}.tar") -> Listing:
    manifest(root / "m.json", *rows)
    return nemo(root, tars=tars).list_utterances()


def test_members_of_tars_are_places(tarred: Path) -> None:
    listing = of_tars(
        tarred,
        {"audio_filepath": "a0.flac", "duration": 0.1, "shard_id": 0},
        {"audio_filepath": "./b1.flac", "duration": 0.1, "shard_id": 1, "text": "one"},
        # of a file that is there once, several segments
        {"audio_filepath": "b0.flac", "duration": 0.02, "offset": 0, "shard_id": 0},
        {"audio_filepath": "b0-sub1.flac", "duration": 0.02, "offset": 0.05, "shard_id": 0},
    )
    assert listing.failures == []
    assert [row.id for row in listing.rows] == [
        "a0", "b1", "b0-0000000-0000020", "b0-sub1-0000050-0000070",
    ]  # fmt: skip
    for row in listing.rows:
        place = Place.parse(row.audio)
        assert place is not None
        assert place.start is not None
        assert place.num_bytes is not None
        with tarfile.open(tarred / place.container) as tar:
            member = tar.getmember(place.member)
        assert (place.start, place.num_bytes) == (member.offset_data, member.size)
    assert listing.rows[2].audio == listing.rows[3].audio


def test_audio_in_tars_is_prepared_as_that_in_files(
    tarred: Path, record: Recorder, tmp_path: Path
) -> None:
    numbered = [(name, shard) for shard in range(2) for name in "ab"]
    manifest(
        tarred / "m.json",
        *({"audio_filepath": f"{name}{shard}.flac", "shard_id": shard} for name, shard in numbered),
    )
    tars = {"train": "audio_{0..1}.tar"}
    for name, corpus in (
        ("tars", nemo(tarred, {"train": "m.json"}, tars=tars)),
        ("files", nemo(tarred, {"train": "m.json"})),
    ):
        if name == "files":
            for one, shard in numbered:
                record(f"{one}{shard}.flac")
        prepare(corpus, tmp_path / name, failures_path=tmp_path / "failures")
    rows = [read_manifest(tmp_path / name / "train.jsonl") for name in ("tars", "files")]
    assert [(row.id, row.input_digest) for row in rows[0]] == [
        (row.id, row.input_digest) for row in rows[1]
    ]
    assert len(rows[0]) == 4


def test_one_tar_needs_no_number(tarred: Path) -> None:
    [row] = of_tars(tarred, {"audio_filepath": "a1.flac"}, tars="audio_1.tar").rows
    assert row.audio.startswith("audio_1.tar!/a1.flac@")


@pytest.mark.parametrize("tars", ["audio__OP_0..1_CL_.tar", "audio_{000..001}.tar"])
def test_ranges_are_written_as_nemo_has_them(tarred: Path, tars: str) -> None:
    if "000" in tars:
        (tarred / "audio_1.tar").rename(tarred / "audio_001.tar")
    [row] = of_tars(tarred, {"audio_filepath": "a1.flac", "shard_id": 1}, tars=tars).rows
    assert "!/a1.flac@" in row.audio


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"audio_filepath": "a0.flac"}, "a number from 0 to 1, as corpus.tars says"),
        ({"audio_filepath": "a0.flac", "shard_id": 2}, "a number from 0 to 1"),
        ({"audio_filepath": "a0.flac", "shard_id": True}, "a number from 0 to 1"),
        ({"audio_filepath": "a0.flac", "shard_id": "../0"}, "a number from 0 to 1"),
        ({"audio_filepath": "a0.flac", "shard_id": 1}, "'a0.flac', which it lacks"),
    ],
)
def test_a_row_without_its_member_is_a_failure(
    tarred: Path, row: dict[str, Any], told: str
) -> None:
    [failure] = of_tars(tarred, row).failures
    assert failure.id == "m.json:1"
    assert told in f"{failure.expected} {failure.got}"


def test_a_member_that_is_there_twice_is_none_that_a_row_names(
    tarred: Path, record: Recorder
) -> None:
    with tarfile.open(tarred / "audio_0.tar", "a") as tar:
        tar.add(record("other.flac", 3200), "a0.flac")
    (tarred / "other.flac").unlink()
    rows = [{"audio_filepath": f"{name}0.flac", "shard_id": 0} for name in "ab"]
    listing = of_tars(tarred, *rows)
    assert [row.id for row in listing.rows] == ["b0"]
    [failure] = listing.failures
    assert "'a0.flac', there twice" in str(failure)


def test_a_tar_that_is_cut_short_is_a_failure_of_its_own(tarred: Path) -> None:
    data = (tarred / "audio_0.tar").read_bytes()
    with tarfile.open(tarred / "audio_0.tar") as tar:
        cut = tar.getmember("b0.flac").offset_data + 10
    (tarred / "audio_0.tar").write_bytes(data[:cut])
    rows = [{"audio_filepath": f"{name}0.flac", "shard_id": 0} for name in "abab"]
    listing = of_tars(tarred, *rows)
    assert [(failure.id, failure.kind) for failure in listing.failures] == [
        ("audio_0.tar", "truncated"), ("m.json:2", "bad_row"), ("m.json:4", "bad_row"),
    ]  # fmt: skip
    assert [row.id for row in listing.rows] == ["a0", "a0"]


@pytest.mark.parametrize(
    ("manifests", "tars"),
    [
        ({"train": "m.json"}, {"dev": "a.tar"}),
        ({"train": "m.json"}, "a.tar"),
        ("m.json", "a_{0..1}_{0..1}.tar"),
        ("m.json", "a_{0-1}.tar"),
    ],
)
def test_tars_that_belong_to_no_manifest_are_refused(root: Path, manifests: Any, tars: Any) -> None:
    manifest(root / "m.json", {"audio_filepath": "a.flac", "shard_id": 0})
    with pytest.raises(ConfigError, match=r"corpus\.tars"):
        nemo(root, manifests, tars=tars).list_utterances()
