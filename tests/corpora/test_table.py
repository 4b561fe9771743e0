"""A folder of audio with a table."""

from __future__ import annotations

import csv
import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.base.manifest import MIX_CHANNELS
from featbank.corpora.base import CorpusRow
from featbank.corpora.layouts.table import TableCorpus
from featbank.errors import ConfigError, CorpusError

Recorder = Callable[..., Path]


def rows_of(
    root: Path, text: str | bytes, table: str = "t.tsv", **arguments: Any
) -> list[CorpusRow]:
    (root / table).write_bytes(text.encode() if isinstance(text, str) else text)
    corpus = TableCorpus(name="c", root=root, license="none", table=table, **arguments)
    return list(corpus.list_utterances().rows)


def faults_of(root: Path, text: str | bytes, table: str = "t.tsv") -> dict[str, str]:
    """What is wrong with the rows of a table, by their places."""
    (root / table).write_bytes(text.encode() if isinstance(text, str) else text)
    corpus = TableCorpus(name="c", root=root, license="none", table=table)
    failures = corpus.list_utterances().failures
    assert {failure.kind for failure in failures} == {"bad_row"}
    return {one.id: f"{one.error}: expected {one.expected}, got {one.got}" for one in failures}


def test_a_tsv_is_read_verbatim(root: Path) -> None:
    text = 'path\tspeaker\tlanguage\tsplit\ttext\tpart\na/x.flac\tanna\ten\tdev\tshe said "no\ta\n'
    [row] = rows_of(root, text)
    assert row == CorpusRow(
        id="a/x", audio="a/x.flac", where="t.tsv:2", speaker="anna", language="en",
        split="dev", text='she said "no', part="a",
    )  # fmt: skip


def test_a_csv_is_unquoted_and_a_byte_order_mark_dropped(root: Path) -> None:
    [row] = rows_of(root, '\ufeffaudio,text\r\nx.wav,"a, b ""c"""\r\n', table="t.csv")
    assert (row.audio, row.text) == ("x.wav", 'a, b "c"')


def test_json_lines_may_leave_columns_out(root: Path) -> None:
    text = '{"path": "x.wav", "start": 1.5, "duration": 2}\n\n{"path": "y.wav", "speaker": null}\n'
    first, second = rows_of(root, text, table="t.jsonl", language="fr")
    assert (first.start_s, first.duration_s, first.language) == (1.5, 2.0, "fr")
    assert (second.where, second.speaker, second.duration_s) == ("t.jsonl:3", "", None)


def test_blank_json_lines_are_no_rows(root: Path) -> None:
    text = '\n  \r\n{"path": "x.wav"}\r\n\t\n{"path": "y.wav"}\n\n'
    rows = rows_of(root, text, table="t.jsonl")
    assert [(row.where, row.audio) for row in rows] == [
        ("t.jsonl:3", "x.wav"),
        ("t.jsonl:5", "y.wav"),
    ]


def test_a_duration_without_a_start_selects_nothing(root: Path) -> None:
    text = "path\tstart\tduration\nx.wav\t\t2.5\ny.wav\t0\t2.5\n"
    whole, segment = rows_of(root, text)
    assert (whole.id, whole.duration_s, whole.claimed_duration_s) == ("x", None, 2.5)
    assert (segment.id, segment.duration_s) == ("y-0000000-0002500", 2.5)
    assert segment.claimed_duration_s is None


def test_columns_are_renamed_and_ignored_as_told(root: Path) -> None:
    text = "clip\tclient\tup_votes\nx.mp3\tanna\t2\n"
    [row] = rows_of(
        root, text, columns={"clip": "path", "client": "speaker"}, ignore_columns=["up_votes"]
    )
    assert (row.audio, row.speaker) == ("x.mp3", "anna")


def test_an_id_names_what_an_utterance_selects_of_its_file(root: Path) -> None:
    text = (
        "path\tid\tstart\tduration\tchannel\n"
        "x.wav\t\t\t\t\nx.wav\t\t1.25\t2\t\nx.wav\t\t3.25\t\t\nx.wav\t\t\t\t1\nx.wav\t\t\t\tmix\nx.wav\tmine\t\t\t\n"
    )
    rows = rows_of(root, text)
    ids = ["x", "x-0001250-0003250", "x-0003250-end", "x-ch1", "x-mix", "mine"]
    assert [row.id for row in rows] == ids
    assert [row.channel for row in rows] == [None, None, None, 1, MIX_CHANNELS, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path\tage\nx.wav\t3\n",
            r"expected only path, .*, got age; rename them with corpus.columns",
        ),
        ("speaker\nanna\n", r"expected path or audio, .*, got speaker"),
        ("path\taudio\nx\ty\n", r"expected path or audio, .*, got audio, path"),
        ("path\tpath\nx\ty\n", r"header of t.tsv: expected each column once, got path"),
        ("", r"expected path or audio"),
        ("path\n", r"expected utterances, got none"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(root: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        rows_of(root, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\ttext\nx.wav\n", r"t.tsv:2: expected 2 cells: path, text, got 1"),
        ("path\nx.wav\textra\n", r"t.tsv:2: expected 1 cells: path, got 2"),
        (
            "path\tsplit\nx.wav\t../dev\n",
            r"split in t.tsv:2: expected letters, .*, got '../dev'",
        ),
        ("path\tsplit\nx.wav\t\n", r"split in t.tsv:2: expected a name, got ''"),
        (
            "path\tstart\nx.wav\tsoon\n",
            r"start in t.tsv:2: expected seconds, 0 or more, got 'soon'",
        ),
        ("path\tstart\nx.wav\t-1\n", r"start in t.tsv:2: expected seconds, 0 or more, got '-1'"),
        ("path\tduration\nx.wav\tinf\n", r"duration in t.tsv:2: expected seconds, .*, got 'inf'"),
        ("path\tduration\nx.wav\t0\n", r"duration in t.tsv:2: expected above 0, got 0"),
        ("path\tchannel\nx.wav\tleft\n", r"channel in t.tsv:2: expected an index .*, got 'left'"),
        ("path\n/etc/x.wav\n", r"t.tsv:2: expected a path inside the corpus, got '/etc/x.wav'"),
        (
            "path\na/../../x.wav\n",
            r"t.tsv:2: expected a path inside the corpus, got 'a/../../x.wav'",
        ),
        ("path\tspeaker\n\tanna\n", r"t.tsv:2: expected a path inside the corpus, got ''"),
        ("path\nx\x01.wav\n", r"'x\\x01.wav': expected a name or a relative path, got a control"),
        (
            "path\tstart\nx.wav\t" + "9" * 5000 + "\n",
            r"start in t.tsv:2: expected seconds, .*9... and 4,852 more letters",
        ),
        ("path\tstart\nx.wav\t1e308\n", r"start in t.tsv:2: expected seconds, .*, got '1e308'"),
        ("path\tstart\nx.wav\t1_0\n", r"start in t.tsv:2: expected seconds, .*, got '1_0'"),
        (
            "path\tchannel\nx.wav\t" + "9" * 5000 + "\n",
            r"channel in t.tsv:2: expected an index .*more letters",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_a_failure_of_its_place(
    root: Path, text: str, message: str
) -> None:
    [(where, fault)] = faults_of(root, text).items()
    assert where == "t.tsv:2"
    assert re.search(message, fault)
    good = "y.wav" + "\t0.5" * ("start" in text or "duration" in text)
    good += "\tdev" * ("split" in text) + "\t1" * ("channel" in text)
    good += "\tz" * ("\ttext" in text or "speaker" in text)
    [row] = rows_of(root, text + good + "\n")
    assert row.where == "t.tsv:3"


def test_a_row_that_is_not_utf8_is_a_failure_and_a_header_ends_it(root: Path) -> None:
    assert faults_of(root, "path\n\xe9.wav\nok.wav\n".encode("latin-1")) == {
        "t.tsv:2": "t.tsv:2: expected UTF-8, got byte 0xe9; convert it with iconv"
    }
    [in_utf8] = rows_of(root, "path\n\xe9.wav\n")
    assert in_utf8.audio == "\xe9.wav"
    with pytest.raises(CorpusError, match=r"header of t.tsv: expected UTF-8, got byte 0xff"):
        rows_of(root, "path\nx.wav\n".encode("utf-16"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]\n", "t.jsonl:1: expected a JSON object, got list"),
        ('{"path": \n', "t.jsonl:1: expected a JSON object, got Expecting value"),
        ('{"path": true}\n', "path in t.jsonl:1: expected text or a number, got true"),
        ('{"path": "x", "text": "\\ud800"}\n', "t.jsonl:1: expected a JSON object.* surrogates"),
        ('{"path": "x", "start": NaN}\n', "not finite, nan"),
        ('{"path": "x", "start": 1e999}\n', "not finite, 1e999"),
        ('{"path": "x", "text": [NaN]}\n', r"expected text or a number, got \[NaN\]"),
        ('{"path": "x", "start": ' + "9" * 5000 + "}\n", "a number of 5000 digits"),
        ('{"path": "../x", "path": "x"}\n', "the key 'path' twice"),
        ('{"path": ' + "[" * 100_000 + "\n", "nesting without end"),
    ],
)
def test_json_lines_that_cannot_be_used_are_failures(root: Path, text: str, message: str) -> None:
    [(where, fault)] = faults_of(root, text, table="t.jsonl").items()
    assert where == "t.jsonl:1"
    assert re.search(message, fault)
    [row] = rows_of(root, text + '{"path": "y.wav"}\n', table="t.jsonl")
    assert row.where == "t.jsonl:2"


def test_a_csv_with_an_open_quote_is_refused_for_it_takes_all_rows_behind_it(root: Path) -> None:
    with pytest.raises(CorpusError, match=r"t.csv:2-3: expected a row of a table, got unexpected"):
        rows_of(root, 'path,text\nx.wav,"open\ny.wav,z\n', table="t.csv")


def test_a_csv_with_a_stray_quote_loses_that_row_alone(root: Path) -> None:
    text = 'path,text\nx.wav,"a" b\ny.wav,"a\nb" c\nz.wav,"d\ne"\n'
    assert list(faults_of(root, text, table="t.csv")) == ["t.csv:2", "t.csv:3-4"]
    [row] = rows_of(root, text, table="t.csv")
    assert (row.where, row.text) == ("t.csv:6", "d\ne")


def test_a_cell_may_be_as_long_as_a_text_and_an_endless_line_is_refused(root: Path) -> None:
    long = "word " * 50_000
    for table, text in (
        ("t.tsv", f"path\ttext\nx.wav\t{long}\n"),
        ("t.csv", f'path,text\nx.wav,"{long}"\n'),
        ("t.jsonl", f'{{"path": "x.wav", "text": "{long}"}}\n'),
    ):
        [row] = rows_of(root, text, table)
        assert row.text == long
    assert csv.field_size_limit() < len(long)  # of others in this process
    with pytest.raises(CorpusError, match=r"table t.tsv .*expected a readable file, got a line of"):
        rows_of(root, b"path\n" + b"x" * (17 << 20))


def test_ignored_columns_are_not_looked_at(root: Path) -> None:
    text = '{"path": "x.wav", "ok": true, "words": [1, {"a": 2}], "snr": NaN, "gain": -Infinity}\n'
    ignored = ["ok", "words", "snr", "gain"]
    [row] = rows_of(root, text, table="t.jsonl", ignore_columns=ignored)
    assert row.audio == "x.wav"


def test_a_column_that_only_a_late_row_has_is_refused(root: Path) -> None:
    text = '{"path": "x.wav"}\n{"path": "y.wav", "age": 3}\n'
    with pytest.raises(CorpusError, match=r"got age; rename them with corpus.columns"):
        rows_of(root, text, table="t.jsonl")


def test_a_path_may_be_absolute_inside_the_root(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    text = f"path\n{root}/a/x.wav\n{tmp_path}/link/y.wav\n"
    (tmp_path / "link/t.tsv").write_text(text)
    corpus = TableCorpus(name="c", root=tmp_path / "link", license="none", table="t.tsv")
    assert [row.audio for row in corpus.list_utterances().rows] == ["a/x.wav", "y.wav"]


@pytest.mark.parametrize("table", ["t.tsv.gz", "t.csv.gz", "t.jsonl.gz"])
def test_a_table_may_be_compressed(root: Path, table: str) -> None:
    text = b'{"path": "x.wav"}\n' if "json" in table else b"path\nx.wav\n"
    packed = gzip.compress(text)
    [row] = rows_of(root, packed, table)
    assert (row.audio, row.where) == ("x.wav", f"{table}:{1 if 'json' in table else 2}")
    for damaged in (packed[:-4], text, packed[:12] + b"\xff" * 8 + packed[20:]):
        with pytest.raises(CorpusError, match=r"expected a whole gzip file"):
            rows_of(root, damaged, table)


@pytest.mark.parametrize(("kind", "got"), [("pipe", "a pipe"), ("device", "a device")])
def test_a_table_that_is_no_file_is_refused_at_once(root: Path, kind: str, got: str) -> None:
    if kind == "pipe":
        os.mkfifo(root / "t.tsv")
    else:
        (root / "t.tsv").symlink_to("/dev/zero")
    corpus = TableCorpus(name="c", root=root, license="none", table="t.tsv")
    with pytest.raises(CorpusError, match=f"expected a readable file, got {got}"):
        corpus.list_utterances()


def test_settings_that_fit_no_table_are_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"corpus.table: expected a .tsv, .csv, .jsonl or .json"):
        rows_of(root, "", table="t.xlsx")
    with pytest.raises(
        ConfigError, match=r"corpus.columns: expected names .*, got voice; columns: {"
    ):
        rows_of(root, "path\nx\n", columns={"path": "voice"})
    with pytest.raises(CorpusError, match=r"expected clip, as corpus.columns says, got path"):
        rows_of(root, "path\nx\n", columns={"clip": "path"})
    with pytest.raises(ConfigError, match=r"corpus.channel: expected an index from 0, or mix"):
        rows_of(root, "path\nx\n", channel="left")


def test_a_missing_table_and_a_missing_root_are_named(root: Path) -> None:
    corpus = TableCorpus(name="c", root=root, license="none", table="t.tsv")
    with pytest.raises(
        CorpusError, match=r"table t.tsv in .*: expected a readable file, got No such"
    ):
        corpus.list_utterances()
    corpus = TableCorpus(name="c", root=root / "no", license="none", table="t.tsv")
    with pytest.raises(CorpusError, match=r"root .*/no: expected a folder, got nothing there; put"):
        corpus.list_utterances()


def test_audio_that_the_table_does_not_mention_is_unlisted(root: Path, record: Recorder) -> None:
    record("a/x.wav"), record("a/y.wav")
    (root / "a/notes.txt").write_text("no audio")
    (root / "t.tsv").write_text("path\na/x.wav\n")
    corpus = TableCorpus(name="c", root=root, license="none", table="t.tsv")
    assert corpus.list_utterances().unlisted == ["a/y.wav"]
