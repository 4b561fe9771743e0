"""Who has withdrawn does not come back with the next version of a corpus."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.base.manifest import read_manifest
from featbank.base.split_names import split_names
from featbank.corpora.forgotten import Forgotten, read_forgotten
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import CorpusError

Recorder = Callable[..., Path]
HEAD = "id\taudio\tspeaker\n"
ROWS = "a\ta.wav\tanna\nb\tb.wav\tbert\nc\tc.wav\tanna\n"


def _prepare(root: Path, table: str, forgotten: Forgotten, **options: Any) -> dict[str, Any]:
    (root / "t.tsv").write_text(HEAD + table)
    corpus = TableCorpus(
        name="c",
        root=root,
        license="CC0",
        table="t.tsv",
        split_rule={"by": "hash", "shares": {}},
        **options,
    )
    return prepare(
        corpus, root.parent / "out", failures_path=root.parent / "f.jsonl", forgotten=forgotten
    )


def _ids(root: Path) -> list[str]:
    out = root.parent / "out"
    rows = [row for split in split_names(out) for row in read_manifest(out / f"{split}.jsonl")]
    return sorted(row.id for row in rows)


def _forgotten(*marks: str) -> Forgotten:
    return Forgotten(salt="salt", marks=frozenset(marks))


@pytest.fixture
def corpus(root: Path, record: Recorder) -> Path:
    for name in "abc":
        record(f"{name}.wav")
    return root


NONE = _forgotten()


@pytest.mark.parametrize(
    ("mark", "left"),
    [
        (NONE.mark_of_id("c", "a"), ["b", "c"]),
        (NONE.mark_of_speaker("c", "anna"), ["b"]),
        (NONE.mark_of_id("another", "a"), ["a", "b", "c"]),
        (NONE.mark_of_speaker("another", "anna"), ["a", "b", "c"]),
    ],
)
def test_a_forgotten_name_is_left_out_of_its_corpus_and_counted(
    corpus: Path, mark: str, left: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    summary = _prepare(corpus, ROWS, _forgotten(mark))
    assert _ids(corpus) == left
    number = 3 - len(left)
    assert summary.get("num_forgotten", 0) == number
    assert (f"{number} rows are of forgotten utterances" in caplog.text) == (number > 0)
    # nothing names them, neither as failures nor as files that are in no table
    assert (summary["num_failures"], summary["unlisted"]) == (0, [])


def test_forgotten_audio_is_left_out_under_any_name_and_at_any_speed(corpus: Path) -> None:
    _prepare(corpus, ROWS, NONE)
    out = corpus.parent / "out"
    [row] = [row for row in read_manifest(out / "train.jsonl") if row.id == "a"]
    forgotten = _forgotten(NONE.mark_of_audio(row))
    shutil.copy(corpus / "a.wav", corpus / "z.wav")
    summary = _prepare(corpus, ROWS + "y\tz.wav\tnobody\n", forgotten, speeds=[0.9, 1.0])
    assert _ids(corpus) == ["b", "c", "sp0.9-b", "sp0.9-c"]
    assert summary["num_forgotten"] == 2


def test_a_corpus_of_nobody_else_ends_in_empty_manifests(corpus: Path) -> None:
    summary = _prepare(corpus, "a\ta.wav\tanna\n", _forgotten(NONE.mark_of_id("c", "a")))
    assert _ids(corpus) == []
    assert summary["num_forgotten"] == 1


def test_no_marks_change_no_byte(corpus: Path) -> None:
    before = _prepare(corpus, ROWS, Forgotten())
    assert "num_forgotten" not in before
    assert _prepare(corpus, ROWS, NONE) == before


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"version": 2, "salt": "x", "marks": []}',
        '{"version": 1, "salt": "x", "marks": ["anna"]}',
        json.dumps({"version": 1, "salt": "", "marks": ["0" * 64]}),
    ],
)
def test_marks_that_cannot_be_read_end_the_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "forgotten.json").write_text(text)
    with pytest.raises(CorpusError, match=r"forgotten\.json.*must not come back"):
        read_forgotten(tmp_path / "forgotten.json")


def test_a_project_without_the_file_has_forgotten_nobody(tmp_path: Path) -> None:
    assert read_forgotten(tmp_path / "forgotten.json") == Forgotten()
