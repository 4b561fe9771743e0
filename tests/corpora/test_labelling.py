"""Labels of a corpus: wrong ones are said before any file is decoded, and the others counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import CorpusError

Recorder = Callable[..., Path]


def run(root: Path, labels: Any, **options: Any) -> None:
    corpus = FolderCorpus(
        name="c", root=root, license="CC0", labels=labels, folders=["split"], **options
    )
    prepare(corpus, root.parent / "manifests", failures_path=root.parent / "failures.jsonl")


def say_labels(root: Path, *ids: str) -> None:
    lines = [json.dumps({"id": one, "labels": [[0.0, 0.1, "A"]]}) + "\n" for one in ids]
    (root / "labels.jsonl").write_text("".join(lines))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("labls.jsonl", r"labels .*labls\.jsonl: expected a file of JSON lines, got nothing there"),
        ("train", r"labels .*train: expected phones in files of one form .*, got files of none"),
        ("bad.jsonl", r"bad\.jsonl:1"),
        ("phn", r"a\.phn:1: expected first sample, end and label"),
        ({"path": "phn", "tier": "words"}, r"expected words .*got files of phn; .*tier: phones"),
        ("labels.jsonl", r"labels.jsonl: expected those of utterances of c, such as 'train/a', got "
         r"none; 2 of others, such as 'x'; ids of labels are paths"),
        ("none.jsonl", r"such as 'train/a', got none; ids"),
    ],
)  # fmt: skip
def test_wrong_labels_are_said_before_a_file_is_decoded(root: Path, labels: Any, told: str) -> None:
    (root / "train").mkdir()
    (root / "train/a.wav").write_bytes(b"RIFF, and no more: decoding it would fail")
    (root / "phn/train").mkdir(parents=True)
    (root / "phn/train/a.phn").write_text("zero 10 h#\n")
    (root / "bad.jsonl").write_text("train/a\n")
    (root / "none.jsonl").touch()
    say_labels(root, "z", "x")
    with pytest.raises(CorpusError, match=told):
        run(root, labels)
    assert not (root.parent / "failures.jsonl").exists()  # that of a file that was decoded


def test_utterances_with_labels_are_counted(
    root: Path, record: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    record("train/a.wav")
    record("train/b.wav", channels=2)
    record("dev/c.wav")
    say_labels(root, "train/a", "train/b-ch1", "sp0.9-dev/c")
    with caplog.at_level("INFO"):
        run(root, "labels.jsonl", channel="each", speeds=[0.9, 1.0])
    # at each speed a and one channel of b; c, which is held out, has none at its own speed
    assert "c: 4 of 7 utterances have labels, in " in caplog.text


def test_a_corpus_without_labels_says_nothing_of_any(
    root: Path, record: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    record("train/a.wav")
    with caplog.at_level("INFO"):
        run(root, None)
    assert "have labels" not in caplog.text
