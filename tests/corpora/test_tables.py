"""Tables as people have them: several, with columns that nobody needs, of any kind and packing."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from featbank.corpora.base import CorpusRow, Listing
from featbank.corpora.layouts.table import TableCorpus
from featbank.errors import ConfigError, CorpusError

Recorder = Callable[..., Path]


def listed(root: Path, **arguments: Any) -> Listing:
    return TableCorpus(name="c", root=root, license="none", **arguments).list_utterances()


def rows_of(
    root: Path, text: str | bytes, table: str = "t.tsv", **arguments: Any
) -> list[CorpusRow]:
    (root / table).write_bytes(text.encode() if isinstance(text, str) else text)
    listing = listed(root, table=table, **arguments)
    assert not listing.failures
    return list(listing.rows)


def faults_of(root: Path, text: str | bytes, table: str, **arguments: Any) -> list[str]:
    (root / table).write_bytes(text.encode() if isinstance(text, str) else text)
    failures = listed(root, table=table, **arguments).failures
    return [f"{one.id}: {one.error}: expected {one.expected}, got {one.got}" for one in failures]


def test_each_table_can_be_a_split(root: Path, record: Recorder) -> None:
    record("x.wav"), record("more.wav")
    for name, one in (("train", "x"), ("dev", "y"), ("b", "z")):
        (root / f"{name}.tsv").write_text(f"path\n{one}.wav\n")
    tables = {"train": ["train.tsv", "b.tsv"], "validation": "dev.tsv"}
    listing = listed(root, table=tables, splits={"validation": "dev"})
    assert [(row.id, row.split, row.where) for row in listing.rows] == [
        ("x", "train", "train.tsv:2"), ("z", "train", "b.tsv:2"), ("y", "dev", "dev.tsv:2"),
    ]  # fmt: skip
    assert listing.unlisted == ["more.wav"]


def test_several_tables_may_say_their_splits_themselves(root: Path) -> None:
    (root / "a.tsv").write_text("path\tsplit\nx.wav\tdev\n")
    (root / "b.jsonl").write_text('{"split": "test", "path": "y.wav"}\n')
    rows = listed(root, table=["a.tsv", "b.jsonl"]).rows
    assert [(row.id, row.split) for row in rows] == [("x", "dev"), ("y", "test")]


def test_a_split_that_the_definition_says_is_not_said_again_by_a_column(root: Path) -> None:
    (root / "t.tsv").write_text("path\tsplit\nx.wav\tdev\n")
    with pytest.raises(CorpusError, match=r"expected only path, .*, got split; rename"):
        listed(root, table={"train": "t.tsv"}, columns={})
    [row] = listed(root, table={"train": "t.tsv"}, ignore_columns="rest").rows
    assert row.split == "train"


@pytest.mark.parametrize(
    "table",
    [
        {},
        [],
        "",
        {"train": ""},
        {"train": []},
        {"train": "t.tsv", "dev": []},
        [1],
        {"a b": "t.tsv"},
    ],
)
def test_what_names_no_table_is_refused(root: Path, table: Any) -> None:
    with pytest.raises(ConfigError, match=r"corpus.table: expected"):
        listed(root, table=table)


def test_the_rest_of_the_columns_is_passed_by(root: Path) -> None:
    header, row = "client_id\tpath\tage\tsentence\ttext", "anna\tx.wav\tfifties\thello\told"
    columns = {"client_id": "speaker", "sentence": "text"}
    [found] = rows_of(root, f"{header}\n{row}\n", columns=columns, ignore_columns="rest")
    assert (found.audio, found.speaker, found.text) == ("x.wav", "anna", "hello")


def test_columns_that_nobody_needs_may_share_a_name_of_any_bytes(root: Path) -> None:
    text = b"\xff\t\t\tpath\ttext\na\tb\tc\tx.wav\thello\n"
    [row] = rows_of(root, text, ignore_columns="rest")
    assert (row.audio, row.text) == ("x.wav", "hello")
    text = b"path\ttext\ttext\nx.wav\ta\tb\n"
    with pytest.raises(CorpusError, match=r"header of t.tsv: expected each column once, got text"):
        rows_of(root, text, ignore_columns="rest")


def test_json_lines_with_keys_that_nobody_needs_are_rows(root: Path) -> None:
    lines = [
        '{"path": "x.wav", "text": "a"}',
        '{"path": "y.wav", "lid": [1, {"a": NaN}], "n": ' + "9" * 5000 + ', "k": 1, "k": 2}',
        '{"path": "z.wav", "half": "\\ud800", "deep": ' + "[" * 100 + "]" * 100 + "}",
    ]
    rows = rows_of(root, "\n".join(lines), "t.jsonl", ignore_columns="rest")
    assert [(row.id, row.text) for row in rows] == [("x", "a"), ("y", ""), ("z", "")]


def test_what_is_used_is_held_to_its_form_beside_what_is_ignored(root: Path) -> None:
    lines = [
        '{"path": "x.wav", "path": "y.wav", "k": 1, "k": 2}',
        '{"path": "x.wav", "text": "\\ud800"}',
        '{"path": "x.wav", "start": true, "ok": true}',
        '{"path": "x.wav", "k": [}',
    ]
    faults = faults_of(
        root, "\n".join([*lines, '{"path": "ok.wav"}']), "t.jsonl", ignore_columns="rest"
    )
    for fault, message in zip(
        faults, ["the key 'path' twice", "surrogates", "start in", "a JSON value"], strict=True
    ):
        assert message in fault


def test_ignored_cells_may_be_of_any_length_and_of_any_bytes(root: Path) -> None:
    long = "x" * (17 << 20)
    for table, text in (
        ("t.tsv", f"path\twave\nx.wav\t{long}\ny.wav\t\udcff\n"),
        ("t.csv", f'path,wave\nx.wav,"{long}"\ny.wav,\udcff\n'),
        (
            "t.jsonl",
            f'{{"path": "x.wav", "wave": ["{long}"]}}\n{{"path": "y.wav", "wave": "\udcff"}}',
        ),
    ):
        data = text.encode(errors="surrogateescape")
        rows = rows_of(root, data, table, ignore_columns="rest")
        assert [row.audio for row in rows] == ["x.wav", "y.wav"]
        assert csv.field_size_limit() < len(long)


@pytest.mark.parametrize("table", ["t.tsv", "t.csv", "t.jsonl"])
def test_used_cells_are_as_bounded_as_ever(root: Path, table: str) -> None:
    long, good = "x" * (17 << 20), "path\ttext\tage\ny.wav\t\t\n"
    rows = {"path": "x.wav", "text": long, "age": ""}
    text = "\t".join(rows) + "\n" + "\t".join(rows.values()) + "\n" + good.split("\n")[1]
    if table == "t.csv":
        text = text.replace("\t", ",")
    elif table == "t.jsonl":
        text = json.dumps(rows) + '\n{"path": "y.wav"}\n'
    [fault] = faults_of(root, text, table, ignore_columns="rest")
    assert "expected a row of 16777216 letters at most, got 1782" in fault


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_a_json_file_is_lines_or_a_list_or_an_object_of_objects(root: Path, packing: str) -> None:
    rows = [{"path": "a/x.wav", "text": "one"}, {"path": "y.wav", "text": 'two, "quoted"'}]
    forms = {
        "lines": "\n".join(map(json.dumps, rows)),
        "list": json.dumps(rows),
        "pretty list": "\ufeff" + json.dumps(rows, indent=2),
        "object": json.dumps({"utt-x": rows[0], "utt-?": {**rows[1], "id": "utt-y"}}, indent=4),
    }
    for form, text in forms.items():
        data = text.encode()
        if packing:
            data = gzip.compress(data) if packing == ".gz" else zstandard.compress(data)
        found = rows_of(root, data, f"t.json{packing}")
        assert [(row.audio, row.text) for row in found] == [
            ("a/x.wav", "one"), ("y.wav", 'two, "quoted"'),
        ]  # fmt: skip
        if form == "object":
            assert [row.id for row in found] == ["utt-x", "utt-y"]
            assert found[0].where == f't.json{packing}["utt-x"]'
        elif "list" in form:
            assert [row.where for row in found] == [f"t.json{packing}[0]", f"t.json{packing}[1]"]


def test_a_long_json_list_is_read_in_pieces(root: Path) -> None:
    rows = [{"path": f"clips/{n}.wav", "text": "\u00e9" * (n % 97)} for n in range(20_000)]
    found = rows_of(root, json.dumps(rows, ensure_ascii=False), "t.json")
    assert [(row.audio, row.text) for row in found] == [(one["path"], one["text"]) for one in rows]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"path": "x.wav"}', r"JSON in t.json: expected ',', got the end of the file"),
        ('[{"path": "x.wav"} {"path": "y.wav"}]', r"expected ',', got '\{\"path\": \"y.wav\"\}\]'"),
        ('[{"path": "x.wav"}, {"path": ', "expected a JSON value, got the end of the file"),
        ('[{"path": "x.wav"}, {"path": "y', "expected a JSON value, got '\"y'"),
        ('[{"path": "x.wav"}] more', "expected the end of the file, got 'more'"),
        ('[{"path": x.wav}, ' + '{"path": "x"},' * 99 + "]", "expected a JSON value, got 'x.wav"),
        ('{\n"x": {"path": "x.wav"},\n"y": 3}', r't.json\["y"\]: expected an object for each'),
        ('{\n"x": {"path": "x.wav"},\n3: 4}', "expected a name in quotes, got '3: 4}'"),
        ("[" * 100_000, "nesting without end"),
    ],
)
def test_a_json_file_that_is_damaged_ends_the_corpus(root: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        rows_of(root, text, "t.json")


def test_an_item_of_a_json_list_that_is_no_row_is_a_failure(root: Path) -> None:
    text = '[3, {"path": "x.wav"}, {"path": ["y.wav"]}, {"path": "z.wav", "path": "z"}]'
    faults = faults_of(root, text, "t.json")
    assert [fault.split(":")[0] for fault in faults] == ["t.json[0]", "t.json[2]", "t.json[3]"]
    empty = faults_of(root, '[{"path": "x.wav"}, {}, []]', "t.json")
    assert [fault.split(":")[0] for fault in empty] == ["t.json[1]", "t.json[2]"]


@pytest.mark.parametrize("table", ["t.tsv.gz", "t.json.gz", "t.jsonl.zst"])
def test_a_packed_table_of_no_bytes_is_cut_short(root: Path, table: str) -> None:
    with pytest.raises(CorpusError, match="expected a whole"):
        rows_of(root, b"", table)


@pytest.mark.parametrize("table", ["t.tsv.zst", "t.csv.zst", "t.jsonl.zst"])
def test_a_table_in_zstandard_is_whole_or_refused(root: Path, table: str) -> None:
    line = b'{"path": "%d.wav"}\n' if "json" in table else b"%d.wav\n"
    text = b"" if "json" in table else b"path\n"
    text += b"".join(line % n for n in range(900))
    pack = zstandard.ZstdCompressor(write_checksum=True).compress  # as the command does
    for packed in (pack(text), pack(text[:700]) + pack(text[700:])):
        assert len(rows_of(root, packed, table)) == 900
        middle = len(packed) // 2
        for damaged in (
            packed[:-3],
            packed[:middle],
            packed[:2],
            b"",
            text,
            packed + b"more",
            packed[:middle] + b"\xff" * 8 + packed[middle + 8 :],
        ):
            with pytest.raises(CorpusError, match=r"expected a whole Zstandard file"):
                rows_of(root, damaged, table)


def test_paths_of_elsewhere_are_replaced_by_folders_of_the_corpus(root: Path) -> None:
    lines = ["/data/calls/x.wav", "/data/calls/deep/y.wav", "$data_root/z.wav", f"{root}/w.wav"]
    replacements = {"/data/calls": "", "/data/calls/deep": "b", "$data_root": "c"}
    rows = rows_of(root, "path\n" + "\n".join(lines) + "\nv.wav\n", replacements=replacements)
    assert [row.audio for row in rows] == ["x.wav", "b/y.wav", "c/z.wav", "w.wav", "v.wav"]


@pytest.mark.parametrize(
    "path", ["/data/calls2/x.wav", "/data/calls/../x.wav", "/data/calls", "$data_root/x.wav"]
)
def test_a_path_that_no_replacement_brings_below_the_root_is_a_failure(
    root: Path, path: str
) -> None:
    text = f"path\n{path}\nok.wav\n"
    [fault] = faults_of(root, text, "t.tsv", replacements={"/data/calls": ""})
    assert "expected a path inside the corpus" in fault
    assert fault.endswith("corpus.replacements says where other folders lie: {/data/calls: calls}")


def test_a_folder_may_be_called_as_a_variable_is(root: Path) -> None:
    (root / "$data").mkdir()
    [row] = rows_of(root, "path\n$data/x.wav\n")
    assert row.audio == "$data/x.wav"


@pytest.mark.parametrize("wrong", [{"": "x"}, {"/data": "/etc"}, {"/data": "../x"}, {"/data": 3}])
def test_a_replacement_that_leaves_the_root_is_refused(root: Path, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"corpus.replacements: expected folders below the root"):
        rows_of(root, "path\nx.wav\n", replacements=wrong)


def test_values_are_mapped_by_column(root: Path) -> None:
    text = "path\tset\twho\nx.wav\tvalidated\tN/A\ny.wav\t1\tben\n"
    values = {"split": {"validated": "train", 1: "dev"}, "speaker": {"N/A": ""}}
    columns = {"set": "split", "who": "speaker"}
    rows = rows_of(root, text, columns=columns, values=values)
    assert [(row.split, row.speaker) for row in rows] == [("train", ""), ("dev", "ben")]
    for wrong in ({"set": {"a": "b"}}, {"split": "train"}, {"split": {"a": None}}):
        with pytest.raises(ConfigError, match=r"corpus.values: expected"):
            rows_of(root, text, columns=columns, values=wrong)


def test_a_path_can_be_made_of_columns(root: Path) -> None:
    text = "id\tpath\tyear\n20090112-1\tx.ogg\t9\n"
    rest: dict[str, Any] = {"ignore_columns": "rest"}
    [row] = rows_of(root, text, audio_path="clips/{path}", **rest)
    assert (row.id, row.audio) == ("20090112-1", "clips/x.ogg")
    [row] = rows_of(root, text, audio_path="{id:.4}/{id}.ogg", **rest)
    assert row.audio == "2009/20090112-1.ogg"
    line = '{"id": "20090112-1", "path": "x.ogg", "year": 9}'
    [row] = rows_of(root, line, "t.jsonl", audio_path="{year}/{path}", **rest)
    assert row.audio == "9/x.ogg"
    [row] = listed(root, table={"dev": "t.tsv"}, audio_path="{split}/{path}", **rest).rows
    assert (row.audio, row.split) == ("dev/x.ogg", "dev")
    [row] = rows_of(root, "path\nx.ogg\n", audio_path="clips/{path}")
    assert row.audio == "clips/x.ogg"


@pytest.mark.parametrize(
    "template",
    ["{path", "{path!r}", "{path.x}", "{path[0]}", "{}", "{path:>9}", "{0}", "{path:{id}}"],
)
def test_a_path_of_columns_that_cannot_be_made_is_refused(root: Path, template: str) -> None:
    with pytest.raises(ConfigError, match=r"corpus.audio_path: expected a path with names in brac"):
        rows_of(root, "path\nx.wav\n", audio_path=template)


def test_a_path_of_columns_that_a_table_lacks_is_named(root: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected clip, as corpus.audio_path says, got id"):
        rows_of(root, "id\nx\n", audio_path="{clip}.wav")
    with pytest.raises(ConfigError, match=r"corpus.columns: expected names among id, .*, got path"):
        rows_of(root, "id\nx\n", audio_path="{id}.wav", columns={"id": "path"})
    text = '{"id": "x", "clip": "a"}\n{"id": "y"}\n'
    [fault] = faults_of(root, text, "t.jsonl", audio_path="{clip}.wav")
    assert "t.jsonl:2: clip in t.jsonl:2: expected text, got none" in fault
    [fault] = faults_of(root, "id\n../x\nok\n", "t.tsv", audio_path="clips/{id}.wav")
    assert "expected a path inside the corpus, got 'clips/../x.wav'" in fault


def test_an_end_is_as_good_as_a_duration(root: Path) -> None:
    [row] = rows_of(root, "path\tstart\tend\nx.wav\t1.5\t3.5\n")
    assert (row.start_s, row.duration_s, row.id) == (1.5, 2.0, "x-0001500-0003500")
    for line, message in (
        ("1.5\t1.5\t", "expected above the start, 1.5, got 1.5"),
        ("\t1.5\t", "expected a start, and no duration, got no start"),
        ("1\t2\t3", "expected a start, and no duration, got a duration, too"),
    ):
        text = f"path\tstart\tend\tduration\nx.wav\t{line}\nok.wav\t\t\t\n"
        [fault] = faults_of(root, text, "t.tsv")
        assert message in fault


def test_a_table_may_lack_a_header_and_have_its_own_separator(root: Path) -> None:
    text = 'LJ001|he said "no|twice\nLJ002|a|b\n'
    header = ["id", "raw", "text"]
    rows = rows_of(
        root, text, "metadata.csv", header=header, separator="|", audio_path="wavs/{id}.wav",
        ignore_columns="rest",
    )  # fmt: skip
    assert [(row.id, row.audio, row.text, row.where) for row in rows] == [
        ("LJ001", "wavs/LJ001.wav", "twice", "metadata.csv:1"),
        ("LJ002", "wavs/LJ002.wav", "b", "metadata.csv:2"),
    ]
    [row] = rows_of(root, "x.wav hello", "t.txt", header=["path", "text"], separator=" ")
    assert (row.audio, row.text) == ("x.wav", "hello")


def test_manifests_of_speechbrain_are_read_as_they_are(root: Path) -> None:
    settings: dict[str, Any] = {
        "columns": {"ID": "id", "wav": "path", "spk_id": "speaker", "wrd": "text"},
        "replacements": {"$data_root": "", "{data_root}": ""},
    }
    text = 'ID,duration,wav,spk_id,wrd\nx-1,2.5,$data_root/a/x.flac,anna,"one, two"\n'
    [row] = rows_of(root, text, "train.csv", **settings)
    assert row == CorpusRow(
        id="x-1", audio="a/x.flac", where="train.csv:2", speaker="anna", text="one, two",
        claimed_duration_s=2.5,
    )  # fmt: skip
    said = {"x-1": {"wav": "{data_root}/a/x.flac", "length": 2.5, "words": "one, two"}}
    settings["columns"] = {"wav": "path", "length": "duration", "words": "text"}
    [row] = rows_of(root, json.dumps(said, indent=2), "train.json", **settings)
    assert (row.id, row.audio, row.text) == ("x-1", "a/x.flac", "one, two")


def test_manifests_of_nemo_are_tables_of_json_lines_called_json(root: Path) -> None:
    said = {"audio_filepath": "/data/x.wav", "duration": 1.25, "offset": 0.5, "text": "one",
            "lang": "de", "pnc": True, "tags": ["a"]}  # fmt: skip
    columns = {"audio_filepath": "path", "offset": "start", "lang": "language"}
    [row] = rows_of(
        root, json.dumps(said), "train.json", columns=columns, ignore_columns="rest",
        replacements={"/data": "wav"},
    )  # fmt: skip
    assert (row.audio, row.start_s, row.duration_s, row.language) == ("wav/x.wav", 0.5, 1.25, "de")


def test_zstandard_that_is_not_installed_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ConfigError, match=r'zstandard, got .*; pip install "featbank\[zstd\]"'):
        rows_of(root, zstandard.compress(b"path\nx.wav\n"), "t.tsv.zst")
