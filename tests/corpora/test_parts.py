"""A corpus says with which release an utterance came: it shares shards with those of that alone."""

from __future__ import annotations

import json
import logging
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.corpora import FolderCorpus, NemoCorpus, RecordingsCorpus, TableCorpus
from featbank.corpora.base import Corpus
from featbank.corpora.layouts.lhotse.corpus import LhotseCorpus
from featbank.corpora.layouts.webdataset import WebDatasetCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import ConfigError, CorpusError

Recorder = Callable[..., Path]
TABLE = "path\trelease\nanna/a.wav\t\nanna/b.wav\t2\nbo/a.wav\t\nbo/b.wav\t3\n"


@pytest.fixture
def audio(root: Path, record: Recorder) -> Path:
    for path in ("anna/a.wav", "anna/b.wav", "bo/a.wav", "bo/b.wav"):
        record(path)
    (root / "t.tsv").write_text(TABLE)
    return root


def _corpus(kind: type[Corpus], root: Path, **arguments: Any) -> Any:
    rule = {"by": "hash", "shares": {}}
    return kind(name="c", root=root, license="CC0", split_rule=rule, **arguments)


def _parts(corpus: Corpus) -> dict[str, str]:
    return {row.id: row.part for row in corpus.list_utterances().rows}


def _prepared(corpus: Corpus, out: Path) -> list[str]:
    prepare(corpus, out, failures_path=out.parent / "failures.jsonl")
    rows = [json.loads(row) for one in out.glob("*.jsonl") for row in one.read_text().splitlines()]
    return sorted(row.get("part", "") for row in rows)


def test_a_column_of_a_table_says_the_part(
    audio: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = _corpus(TableCorpus, audio, table="t.tsv", part_from="release")
    with caplog.at_level(logging.INFO):
        assert _prepared(corpus, tmp_path / "manifests") == ["", "", "2", "3"]
    assert "3 parts, which share no shards: no name (2), 2 (1), 3 (1)" in caplog.text


def test_the_beginning_of_a_path_says_the_part_in_any_layout(audio: Path, record: Recorder) -> None:
    record("releases/2/anna/c.wav")
    record("x.wav")
    rule = {"part_from": "releases/{release}/"}
    parts = _parts(_corpus(FolderCorpus, audio, **rule))
    assert parts == {
        "anna/a": "", "anna/b": "", "bo/a": "", "bo/b": "", "releases/2/anna/c": "2", "x": "",
    }  # fmt: skip
    rule = {"part_from": "{release}/"}
    assert _parts(_corpus(FolderCorpus, audio, **rule))["bo/a"] == "bo"
    assert _parts(_corpus(FolderCorpus, audio, **rule))["x"] == ""
    assert _parts(_corpus(FolderCorpus, audio, **rule, folders=["speaker"]))["bo/a"] == "bo"


def test_fields_of_containers_and_of_others_manifests_say_the_part(audio: Path) -> None:
    said = {"audio_filepath": "anna/a.wav", "release": 2}
    (audio / "m.json").write_text(json.dumps(said) + "\n")
    nemo = _corpus(NemoCorpus, audio, manifests="m.json", part_from="release")
    assert _parts(nemo) == {"anna/a": "2"}

    segments = [{"start": 0, "end": 0.05, "id": "i", "release": "r"}, {"start": 0, "end": 0.1}]
    (audio / "r.jsonl").write_text(json.dumps({"path": "bo/a.wav", "segments": segments}) + "\n")
    keys = {"start": "start", "end": "end", "id": "id"}
    recordings = _corpus(
        RecordingsCorpus, audio, table="r.jsonl", recording_keys={"path": "path"},
        segment_keys=keys, part_from="release",
    )  # fmt: skip
    assert _parts(recordings) == {"i": "r", "bo/a-0000000-0000100": ""}

    (audio / "x.json").write_text('{"release": "2026-01"}')
    with tarfile.open(audio / "v2-0.tar", "w") as tar:
        tar.add(audio / "bo" / "a.wav", "x.wav")
        tar.add(audio / "x.json", "x.json")
    shards = {"shards": "*.tar"}
    assert _parts(_corpus(WebDatasetCorpus, audio, **shards, part_from="release")) == {
        "x": "2026-01"
    }
    assert _parts(_corpus(WebDatasetCorpus, audio, **shards, part_from="{release}-{_}.tar!")) == {
        "x": "v2"
    }
    with pytest.raises(CorpusError, match=r"expected batch, as corpus.part_from says, got json, "):
        _parts(_corpus(WebDatasetCorpus, audio, **shards, part_from="batch"))


def test_what_cannot_be_meant_is_refused(audio: Path, tmp_path: Path) -> None:
    def refuse(match: str, part_from: Any, kind: type[Corpus] = TableCorpus, **more: Any) -> None:
        more |= {"table": "t.tsv"} if kind is TableCorpus else {}
        with pytest.raises(ConfigError, match=match):
            _corpus(kind, audio, part_from=part_from, **more)

    refuse(r"got 3$", 3)
    refuse(r"expected null, the name of a column, or .*got '\{part\}/'", "{part}/")
    refuse(r"something behind the last name: \"\{release\}/\", got 'a/\{release\}'", "a/{release}")
    refuse(r"got a/\{release", "a/{release")
    refuse(r"for this layout has no columns, got 'release'", "release", FolderCorpus)
    refuse(r"release for the part, and for nothing else, got release: text", "release",
           columns={"release": "text"})  # fmt: skip
    refuse(r"release for the part, .* got old: part", "release", columns={"old": "part"})
    refuse(r"got old$", "release", LhotseCorpus, manifests="m.jsonl", fields={"part": "old"})
    corpus = _corpus(TableCorpus, audio, table="t.tsv", part_from="batch")
    with pytest.raises(CorpusError, match=r"expected batch, as corpus.part_from says, got path, r"):
        _parts(corpus)
    corpus = _corpus(FolderCorpus, audio, part_from="releases/{release}/")
    with pytest.raises(CorpusError, match=r"corpus.part_from=releases/\{release\}/ says, got an e"):
        _prepared(corpus, tmp_path / "manifests")
    assert not (tmp_path / "manifests").exists()
