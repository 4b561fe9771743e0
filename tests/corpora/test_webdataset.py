"""WebDataset tars: samples are found, and those that cannot be used are named."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from featbank.audio.tars import tar_members
from featbank.base.failures import read_failures
from featbank.corpora.layouts.webdataset import WebDatasetCorpus
from featbank.errors import ConfigError, CorpusError, FailureBudgetError
from tests.inside_files import (
    ALL_TRAIN,
    clip,
    demo_rows,
    places_in,
    prepared,
    write_tar,
)


def webdataset(root: Path, **options: Any) -> WebDatasetCorpus:
    return WebDatasetCorpus(name="c", root=root, license="", **options)


def test_a_truncated_tar_is_a_failure_and_what_is_whole_is_used(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    members = {row["path"].replace("/", "-"): clip(row) for row in demo_rows()[:4]}
    tar = write_tar(root / "0.tar", members)
    places = list(places_in(tar, root).values())
    os.truncate(tar, [*tar_members(tar)][3].start + 100)
    corpus = WebDatasetCorpus(name="c", root=root, license="", split_rule=ALL_TRAIN)
    with pytest.raises(FailureBudgetError, match="cut short"):
        prepared(corpus)
    rows = prepared(corpus, max_failures=2)["train"]
    assert [row.audio for row in rows] == sorted(places[:2])
    failed = read_failures(tmp_path / "manifests" / "failures.jsonl")
    assert [(one.id, one.kind) for one in failed] == [
        ("0.tar", "truncated"), (f"0.tar: {list(members)[2].removesuffix('.flac')}", "bad_row"),
    ]  # fmt: skip
    assert "cut short" in failed[0].error
    assert str(tmp_path) not in str(failed)


def test_samples_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "0.tar",
        {
            "a.json": b'{"speaker": "x"}', "a.flac": b"audio",
            "b.flac": b"audio", "b.json": b'{"speaker": ["x"]}',
            "c.flac": b"audio", "c.json": b"[1]",
            "d.json": b"{}", "d.txt": b"nothing to hear",
            "e.flac": b"audio", "e.txt": b"\xff\xfe",
            "f.mic1.wav": b"audio", "f.mic2.wav": b"audio", "f.txt": b"two\n",
            "._g.wav": b"of a system", "h.mp2": b"does not decode", "h.wav": b"audio",
        },
    )  # fmt: skip
    listing = webdataset(
        tmp_path, columns={"speaker": "speaker", "txt": "text"}, shard_ids=True
    ).list_utterances()
    assert [(row.id, row.speaker, row.text) for row in listing.rows] == [
        ("0/a", "x", ""), ("0/f.mic1", "", "two"), ("0/f.mic2", "", "two"), ("0/h", "", ""),
    ]  # fmt: skip
    said = {failure.id: f"{failure.expected} {failure.got}" for failure in listing.failures}
    assert list(said) == ["0.tar: b", "0.tar: c", "0.tar: d", "0.tar: e"]
    assert "text or a number" in said["0.tar: b"]
    assert "a JSON object" in said["0.tar: c"]
    assert said["0.tar: d"] == "a file of audio .json, .txt"
    assert "byte 0xff" in said["0.tar: e"]
    assert listing.num_hidden == 1
    assert [re.sub("@.*", "", one) for one in listing.unlisted] == ["0.tar!/h.mp2"]


def test_a_sample_that_says_something_twice_is_named(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "0.tar",
        {
            "a.txt": b"one", "a.TXT": b"two", "a.flac": b"audio",
            "b.json": b"{}", "b.flac": b"audio", "b.JSON": b'{"speaker": "x"}',
            "c.flac": b"audio", "c.md": b"unread", "c.MD": b"twice", "c.txt": b"said once",
            "d.flac": b"audio", "d.json": b'{"speaker": "x"}',
        },
    )  # fmt: skip
    columns = {"speaker": "speaker", "txt": "text"}
    listing = webdataset(tmp_path, columns=columns).list_utterances()
    assert [(row.id, row.text) for row in listing.rows] == [("c", "said once"), ("d", "")]
    assert [(one.id, one.got) for one in listing.failures] == [
        ("0.tar: a", "two of .txt"), ("0.tar: b", "two of .json")
    ]  # fmt: skip


def test_wrong_words_for_a_webdataset_are_one_line(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {"a.flac": b"audio", "a.json": b'{"spk": "x"}'})
    for options, kind, said in [
        ({"columns": {"spk": "speakers"}}, ConfigError, "expected names among id, start"),
        ({"columns": {"a": "text", "b": "text"}}, ConfigError, "each name once"),
        ({"columns": {"spkr": "speaker"}}, CorpusError, "expected spkr, .* got flac, json, spk"),
        ({"shards": "x-*.tar"}, CorpusError, r"x-\*.tar: expected files in .* none of this name"),
        ({"shards": "../*.tar"}, ConfigError, "paths below corpus.root"),
        ({"shards": [1]}, ConfigError, r"expected patterns of paths, .*, got \[1\]"),
        ({"shards": {"a b": "*.tar"}}, ConfigError, "corpus.shards: expected"),
    ]:
        with pytest.raises(kind, match=said):
            webdataset(tmp_path, **options).list_utterances()
    [failure] = webdataset(tmp_path, shards=["0.tar", "{1..1}.tar"]).list_utterances().failures
    assert (failure.id, failure.kind) == ("1.tar", "missing")
    lacking = webdataset(tmp_path, shards="1.tar", columns={"txt": "text"}).list_utterances()
    assert [failure.id for failure in lacking.failures] == ["1.tar"]


def test_names_of_tars_or_folders_may_say_the_splits(tmp_path: Path) -> None:
    tars = ("train-000.tar", "train-001.tar", "dev-clean-000.tar", "x/test/0.tar", "test/1.tar")
    for number, name in enumerate(tars):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_tar(tmp_path / name, {f"{number}.flac": b"audio"})

    def splits(shards: Any, **options: Any) -> dict[str, str]:
        listing = webdataset(tmp_path, shards=shards, **options).list_utterances()
        return {row.id: row.split for row in listing.rows}

    by_name = {"0": "train", "1": "train", "2": "dev-clean"}
    assert splits("{split}-*.tar") == splits("{split}-{000..001}.tar") == by_name
    assert splits("{split}-[0-9]??.tar") == by_name
    assert splits("{split}-*.tar", splits={"dev-clean": "dev"}) == {**by_name, "2": "dev"}
    assert splits("**/{split}/*.tar") == {"3": "test", "4": "test"}
    assert splits(["{split}/*.tar", "{split}-000.tar"]) == {
        "4": "test",
        "0": "train",
        "2": "dev-clean",
    }
    assert splits("*.tar") == dict.fromkeys("012", "")
    with pytest.raises(ConfigError, match=r"either splits by name or \{split\}, got dev: "):
        splits({"dev": "{split}-*.tar"})


def test_splits_that_a_rule_makes_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tar(tmp_path / "corpus/0.tar", {"a.flac": clip(demo_rows()[0])})
    rule = {"by": "hash", "shares": {"dev": 0.01, "test": 0.0}, "rest": "train", "seed": 0}
    with caplog.at_level("INFO"):
        prepared(webdataset(tmp_path / "corpus", split_rule=rule))
    assert (
        "c: it names no splits, so corpus.split_rule makes them, by a hash of the utterance id: "
        "dev 0.01, and train for the rest" in caplog.text
    )


def test_failures_name_no_place_of_this_machine(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    write_tar(root / "0.tar", {"a.flac": b"no audio", "b.flac": clip(demo_rows()[0])[:-500]})
    corpus = webdataset(root, split_rule=ALL_TRAIN)
    with pytest.raises(FailureBudgetError):
        prepared(corpus)
    failed = read_failures(tmp_path / "failed.jsonl")
    assert len(failed) == 2
    assert all(str(tmp_path) not in str(one) for one in failed)


def test_of_a_tar_that_goes_on_behind_its_end_all_samples_are_whole(tmp_path: Path) -> None:
    one = write_tar(tmp_path / "one", {"a.flac": b"audio", "a.txt": b"said"}).read_bytes()
    (tmp_path / "0.tar").write_bytes(one + one)
    listing = webdataset(tmp_path, columns={"txt": "text"}).list_utterances()
    assert [(row.id, row.text) for row in listing.rows] == [("a", "said")]
    assert [(failure.id, failure.kind) for failure in listing.failures] == [("0.tar", "surplus")]
