"""Splits by the corpus's own names: any of them, any number, stated where they are written."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.base.manifest import read_manifest, write_manifest
from featbank.base.split_names import split_names
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import ConfigError, CorpusError, ManifestError

Recorder = Callable[..., Path]


def corpus_of(root: Path, record: Recorder, *splits: str, **arguments: Any) -> TableCorpus:
    for number in range(len(splits)):
        record(f"{number}.wav")
    rows = "".join(f"{number}.wav\t{split}\n" for number, split in enumerate(splits))
    (root / "t.tsv").write_text(f"path\tsplit\n{rows}")
    return TableCorpus(name="c", root=root, license="", table="t.tsv", **arguments)


def manifests_of(corpus: TableCorpus, **options: Any) -> Path:
    out = corpus.root.parent / "manifests"
    prepare(corpus, out, failures_path=corpus.root.parent / "failures.jsonl", **options)
    return out


def test_each_split_has_a_manifest_of_its_own_name(root: Path, record: Recorder) -> None:
    out = manifests_of(corpus_of(root, record, "test-other", "valid", "train-clean-100", "valid"))
    assert split_names(out) == ("train-clean-100", "valid", "test-other")
    assert [row.id for row in read_manifest(out / "valid.jsonl")] == ["1", "3"]
    assert sorted(json.loads((out / "corpus.json").read_text())["splits"]) == [
        "test-other", "train-clean-100", "valid",
    ]  # fmt: skip


def test_a_split_that_the_corpus_has_no_more_leaves_no_manifest(
    root: Path, record: Recorder
) -> None:
    manifests_of(corpus_of(root, record, "train", "valid"))
    out = manifests_of(corpus_of(root, record, "train", "eval"))
    assert split_names(out) == ("train", "eval")
    assert not (out / "valid.jsonl").exists()


def test_a_definition_renames_values_and_says_which_there_are_not(
    root: Path, record: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    names = {"validation": "dev", "my test": "test", "evaluation": "test"}
    corpus = corpus_of(root, record, "train", "validation", "my test", splits=names)
    out = manifests_of(corpus)
    assert split_names(out) == ("train", "dev", "test")
    assert "corpus.splits names what the corpus has not: evaluation" in caplog.text
    assert json.loads((out / "corpus.json").read_text())["unused_splits"] == ["evaluation"]


def test_a_split_all_of_which_failed_is_there_and_said(
    root: Path, record: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = corpus_of(root, record, "train", "valid")
    (root / "1.wav").write_bytes(b"no audio")
    with caplog.at_level(logging.WARNING):
        out = manifests_of(corpus, max_failures=1)
    assert split_names(out) == ("train", "valid")
    assert read_manifest(out / "valid.jsonl") == []
    assert "c valid: empty" in caplog.text


@pytest.mark.parametrize(
    "name",
    ["../train", ".hidden", "a/b", "splits.json", "Failures", "x" * 65, "train.", "Prüfung", "fit"],
)
def test_a_row_whose_split_can_name_no_file_is_a_failure(
    name: str, root: Path, record: Recorder
) -> None:
    corpus = corpus_of(root, record, "train", name)
    out = manifests_of(corpus, max_failures=1)
    assert split_names(out) == ("train",)
    [failure] = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
    assert failure["kind"] == "bad_row"
    assert "split in t.tsv:3" in failure["error"]


def test_splits_that_some_disks_take_for_one_are_refused(root: Path, record: Recorder) -> None:
    with pytest.raises(CorpusError, match="Train and train; make one of them the other"):
        manifests_of(corpus_of(root, record, "train", "Train"))


def test_a_column_that_is_no_split_is_refused_before_it_is_files(
    root: Path, record: Recorder
) -> None:
    record("0.wav")
    rows = "".join(f"0.wav\t{number}\t{number}\n" for number in range(201))
    (root / "t.tsv").write_text(f"path\tid\tsplit\n{rows}")
    with pytest.raises(CorpusError, match=r"200 at most, got one more in t.tsv:202"):
        manifests_of(TableCorpus(name="c", root=root, license="", table="t.tsv"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"splits": {"validation": "../dev"}}, "corpus.splits: validation: expected letters"),
        ({"splits": {"by": "hash"}}, "a rule for a corpus without splits is corpus.split_rule"),
        ({"splits": {"dev": 0.1}}, "a rule for a corpus without splits is corpus.split_rule"),
        ({"train": "train"}, "corpus.train: expected a list"),
        ({"held_out": ["../dev"]}, "corpus.held_out: expected letters"),
        ({"train": ["a", "b"], "held_out": ["b"]}, "expected different splits, got b"),
    ],
)
def test_a_definition_with_splits_that_are_none_is_refused(
    arguments: dict[str, Any], message: str, root: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        TableCorpus(name="c", root=root, license="", table="t.tsv", **arguments)


def test_a_manifest_that_is_gone_or_left_over_is_refused(root: Path, record: Recorder) -> None:
    out = manifests_of(corpus_of(root, record, "train", "valid"))
    write_manifest(out / "old.jsonl", [])
    with pytest.raises(ManifestError, match=r"those of train, valid, .*, got train, valid, old"):
        split_names(out)
    (out / "old.jsonl").unlink()
    (out / "valid.jsonl").unlink()
    with pytest.raises(ManifestError, match=r"those of train, valid, .*, got train; run python"):
        split_names(out)


def test_without_a_summary_the_manifests_are_the_splits(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="expected one a split, got none"):
        split_names(tmp_path)
    for split in ("test-other", "train"):
        write_manifest(tmp_path / f"{split}.jsonl", [])
    assert split_names(tmp_path) == ("train", "test-other")
