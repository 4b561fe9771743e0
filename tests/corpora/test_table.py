"""A folder of audio with a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.corpora.base import CorpusRow
from featbank.corpora.table import TableCorpus
from featbank.errors import ConfigError, CorpusError
from featbank.manifest import MIX_CHANNELS

Recorder = Callable[..., Path]


def rows_of(
    root: Path, text: str | bytes, table: str = "t.tsv", **arguments: Any
) -> list[CorpusRow]:
    (root / table).write_bytes(text.encode() if isinstance(text, str) else text)
    corpus = TableCorpus(name="c", root=root, license="none", table=table, **arguments)
    return list(corpus.list_utterances().rows)


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
        ("path\ttext\nx.wav\n", r"t.tsv:2: expected 2 cells: path, text, got 1"),
        ("path\nx.wav\textra\n", r"t.tsv:2: expected 1 cells: path, got 2"),
        (
            "path\tsplit\nx.wav\tvalid\n",
            r"split in t.tsv:2: expected train or dev or test, got 'valid'",
        ),
        ("path\tsplit\nx.wav\t\n", r"split in t.tsv:2: expected train or dev or test, got ''"),
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
        ("", r"expected path or audio"),
        ("path\n", r"expected utterances, got none"),
        ("path\nok.wav\n" + "\xe9.wav\n".encode("latin-1").decode("latin-1"), None),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(root: Path, text: str, message: str | None) -> None:
    if message is None:  # the same name in UTF-8 is fine
        assert len(rows_of(root, text)) == 2
        return
    with pytest.raises(CorpusError, match=message):
        rows_of(root, text)


def test_a_table_that_is_not_utf8_is_named_with_its_line(root: Path) -> None:
    with pytest.raises(
        CorpusError, match=r"table t.tsv in .*, line 2: expected UTF-8, got byte 0xe9"
    ):
        rows_of(root, "path\n\xe9.wav\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]\n", "t.jsonl:1: expected a JSON object, got list"),
        ('{"path": \n', "t.jsonl:1: expected a JSON object, got Expecting value"),
        ('{"path": true}\n', "path in t.jsonl:1: expected text or a number, got true"),
        (
            '{"path": "x", "text": "\\ud800"}\n',
            "text in t.jsonl:1: expected Unicode text, got a lone",
        ),
    ],
)
def test_json_lines_that_cannot_be_used_are_refused(root: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        rows_of(root, text, table="t.jsonl")


def test_a_csv_with_an_open_quote_is_refused(root: Path) -> None:
    with pytest.raises(CorpusError, match=r"t.csv:\d+: expected a row of a table, got"):
        rows_of(root, 'path,text\nx.wav,"open\n', table="t.csv")


def test_settings_that_fit_no_table_are_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"corpus.table: expected a .tsv, .csv or .jsonl file"):
        rows_of(root, "", table="t.xlsx")
    with pytest.raises(ConfigError, match=r"corpus.columns: expected names among .*, got voice"):
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


def test_a_symbolic_link_out_of_the_corpus_is_refused(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    record("in.wav").rename(tmp_path / "out.wav")
    (root / "link.wav").symlink_to(tmp_path / "out.wav")
    with pytest.raises(CorpusError, match=r"t.tsv:2: .*got link.wav, a symbolic link to .*out.wav"):
        rows_of(root, "path\nlink.wav\n")


def test_audio_that_the_table_does_not_mention_is_unlisted(root: Path, record: Recorder) -> None:
    record("a/x.wav"), record("a/y.wav")
    (root / "a/notes.txt").write_text("no audio")
    (root / "t.tsv").write_text("path\na/x.wav\n")
    corpus = TableCorpus(name="c", root=root, license="none", table="t.tsv")
    assert corpus.list_utterances().unlisted == ["a/y.wav"]


def test_a_linked_folder_out_of_the_corpus_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "outside").symlink_to(tmp_path)
    with pytest.raises(CorpusError, match=r"got outside, a symbolic link to"):
        rows_of(root, "path\nx.wav\n")
