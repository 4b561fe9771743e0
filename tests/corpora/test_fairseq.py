"""fairseq's tables of audio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.base.manifest import read_manifest
from featbank.corpora.layouts.fairseq import FairseqCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import CorpusError

Recorder = Callable[..., Path]


def fairseq(root: Path, tables: Any = "train.tsv", **arguments: Any) -> FairseqCorpus:
    return FairseqCorpus(name="c", root=root, license="", tables=tables, **arguments)


def test_tables_are_splits_below_the_folder_of_their_first_line(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    record("clean/1/a.flac"), record("clean/2/b.flac"), record("other/c.flac")
    (root / "train.tsv").write_text(f"{root}/clean\n1/a.flac\t1600\n2/b.flac\t1600\n")
    (root / "valid.tsv").write_text("other\nc.flac\t1600\n")
    (root / "train.wrd").write_text("one two\n\u00fcber alles\n", encoding="utf-8")
    (root / "valid.wrd").write_text("three\n")
    corpus = fairseq(root, {"train": "train.tsv", "dev": "valid.tsv"}, texts="wrd")
    prepare(corpus, tmp_path / "out", failures_path=tmp_path / "failures")
    rows = {split: read_manifest(tmp_path / f"out/{split}.jsonl") for split in ("train", "dev")}
    assert [(row.id, row.audio, row.text) for row in rows["train"]] == [
        ("clean/1/a", "clean/1/a.flac", "one two"),
        ("clean/2/b", "clean/2/b.flac", "\u00fcber alles"),
    ]
    assert [(row.id, row.text) for row in rows["dev"]] == [("other/c", "three")]


def test_letters_are_put_together_to_words(root: Path) -> None:
    (root / "train.tsv").write_text(".\na.wav\t5\nb.wav\t5\n")
    (root / "train.ltr").write_text("H E L L O | Y O U |\n\n")
    (root / "train.km").write_text("4 4 17\n8\n")
    texts = {kind: fairseq(root, texts=kind).list_utterances().rows for kind in ("ltr", "km", None)}
    assert {kind: [row.text for row in rows] for kind, rows in texts.items()} == {
        "ltr": ["HELLO YOU", ""], "km": ["4 4 17", "8"], None: ["", ""],
    }  # fmt: skip


def test_a_table_made_elsewhere_is_read_below_another_folder(root: Path) -> None:
    (root / "train.tsv").write_text("/somebody/elses/disk\nx/a.wav\t5\n")
    [failure] = fairseq(root).list_utterances().failures
    assert (failure.id, failure.expected) == ("train.tsv:2", "a path inside the corpus")
    assert failure.got.endswith("or . for root itself, stands for line 1")
    for folder, audio in ((".", "x/a.wav"), ("wavs", "wavs/x/a.wav")):
        [row] = fairseq(root, audio_root=folder).list_utterances().rows
        assert row.audio == audio


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.wav", "a path, a tab and a number of samples"),
        ("a.wav\t5\t6", "a path, a tab and a number of samples"),
        ("a.wav\t-5", "a path, a tab and a number of samples"),
        ("", "a path, a tab and a number of samples"),
        ("a.wav\t0", "samples, 1 or more"),
        ("a.wav\t" + "9" * 30, "samples, 1 or more"),
        ("/etc/passwd\t5", "a path below that of line 1"),
        ("../a.wav\t5", "a path inside the corpus"),
    ],
)
def test_a_bad_line_is_a_failure_of_its_row(root: Path, line: str, expected: str) -> None:
    (root / "train.tsv").write_text(f".\n{line}\nb.wav\t5\n")
    [failure] = (listing := fairseq(root).list_utterances()).failures
    assert (failure.id, failure.kind, failure.expected) == ("train.tsv:2", "bad_row", expected)
    assert [row.id for row in listing.rows] == ["b"]


@pytest.mark.parametrize(
    ("texts", "got"), [("one\n", "more lines than texts"), ("1\n2\n3\n", "more texts than lines")]
)
def test_texts_of_another_number_than_lines_end_the_run(root: Path, texts: str, got: str) -> None:
    (root / "train.tsv").write_text(".\na.wav\t5\nb.wav\t5\n")
    (root / "train.wrd").write_text(texts)
    with pytest.raises(CorpusError, match=got):
        fairseq(root, texts="wrd").list_utterances()
    with pytest.raises(CorpusError, match=r"train\.ltr.*a readable file"):
        fairseq(root, texts="ltr").list_utterances()


@pytest.mark.parametrize("first", ["", "\n", "a.wav\t5\n"])
def test_a_table_without_its_first_line_ends_the_run(root: Path, first: str) -> None:
    (root / "train.tsv").write_text(first)
    with pytest.raises(CorpusError, match=r"train\.tsv:1: expected the folder of the audio"):
        fairseq(root).list_utterances()
