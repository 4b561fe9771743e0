"""Datasets of Hugging Face on disk: rows are found, and what cannot be used is named."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from featbank.base.failures import read_failures
from featbank.base.manifest import Utterance
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.layouts.huggingface import HuggingFaceCorpus
from featbank.errors import CorpusError
from tests.inside_files import (
    ALL_TRAIN,
    clip,
    demo_rows,
    mkdir,
    prepared,
)


def huggingface(root: Path, **options: Any) -> HuggingFaceCorpus:
    return HuggingFaceCorpus(name="c", root=root, license="", **options)


def write_parquet(path: Path, audio: Any, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table({"audio": audio, **columns}), path, row_group_size=2)


def test_ids_are_by_file_and_row_and_splits_by_name_or_folder(tmp_path: Path) -> None:
    audio = [{"bytes": b"x", "path": "a.wav"}] * 3
    for name in ("data/train-00000-of-00001", "en/test/0000", "dev"):
        write_parquet(tmp_path / f"{name}.parquet", audio)
    (tmp_path / ".cache").mkdir()
    write_parquet(tmp_path / ".cache" / "dev.parquet", audio)
    rows = huggingface(tmp_path).list_utterances().rows
    assert [(row.id, row.split, row.audio) for row in rows if row.split == "test"] == [
        (
            f"en/test/0000/{n:08d}",
            "test",
            f"en/test/0000.parquet!/audio/{n // 2:05d}/{n % 2:08d}.wav",
        )
        for n in range(3)
    ]
    assert {row.split for row in rows} == {"train", "test", "dev"}
    assert len(rows) == 9


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_rows_with_paths_refer_to_files_and_rows_with_neither_are_named(
    suffix: str, tmp_path: Path
) -> None:
    data = clip(demo_rows()[0])
    (tmp_path / "corpus" / "clips").mkdir(parents=True)
    (tmp_path / "corpus" / "clips" / "b.flac").write_bytes(data)
    audio = [
        {"bytes": data, "path": "a.flac"},
        {"bytes": None, "path": "clips/b.flac"},
        {"bytes": None, "path": None},
        {"bytes": None, "path": "/elsewhere/c.flac"},
        {"bytes": None, "path": "/data/b.flac"},
    ]
    write_any(tmp_path / "corpus" / f"x.{suffix}", audio, sentence=["a", None, "c", "d", "e"])
    corpus = huggingface(
        tmp_path / "corpus",
        columns={"sentence": "text"},
        split_rule=ALL_TRAIN,
        replacements={"/data": "clips"},
    )
    found = prepared(corpus, max_failures=2)["train"]
    assert [(row.id, row.text) for row in found] == [
        ("x/00000000", "a"), ("x/00000001", ""), ("x/00000004", "e"),
    ]  # fmt: skip
    assert found[0].audio_digest == found[1].audio_digest
    assert found[1].audio == found[2].audio == "clips/b.flac"
    failed = read_failures(tmp_path / "manifests" / "failures.jsonl")
    assert [(one.id, one.got.partition(";")[0]) for one in failed] == [
        (f"x.{suffix}:2", "neither"), (f"x.{suffix}:3", "'/elsewhere/c.flac'"),
    ]  # fmt: skip


def write_any(path: Path, audio: Any, **columns: Any) -> None:
    if path.suffix == ".parquet":
        write_parquet(path, audio, **columns)
        return
    write_arrow(path, pyarrow.table({"audio": audio, **columns}))


def write_arrow(path: Path, table: Any) -> None:
    with pyarrow.ipc.new_stream(str(path), table.schema) as stream:
        stream.write_table(table, max_chunksize=2)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_columns_of_bytes_or_of_paths_alone_do_as_well(suffix: str, tmp_path: Path) -> None:
    data = [clip(row) for row in demo_rows()[:3]]
    write_any(mkdir(tmp_path / "bytes") / f"x.{suffix}", data)
    corpus = huggingface(tmp_path / "bytes", split_rule=ALL_TRAIN)
    assert [row.audio_digest for row in prepared(corpus)["train"]] == [
        row.audio_digest for row in run_clips(tmp_path / "folder" / "clips", data)
    ]
    paths = [f"{number}.flac" for number in range(3)]
    write_any(tmp_path / "folder" / "clips" / f"x.{suffix}", paths)
    rows = huggingface(tmp_path / "folder" / "clips").list_utterances().rows
    assert [row.audio for row in rows] == paths


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize(
    "value", [b"x", [b"x"], [date(2026, 1, 2)], {"a": b"x"}, timedelta(seconds=1), True]
)
def test_a_cell_that_is_no_text_is_the_failure_of_its_row(
    suffix: str, value: Any, tmp_path: Path
) -> None:
    write_any(tmp_path / f"train.{suffix}", [b"x", b"y"], said=[value, None])
    listing = huggingface(tmp_path, columns={"said": "text"}).list_utterances()
    assert [(row.id, row.text) for row in listing.rows] == [("train/00000001", "")]
    [failure] = listing.failures
    assert (failure.error, failure.expected) == (f"said in train.{suffix}:0", "text or a number")


@pytest.mark.parametrize("value", [date(2026, 1, 2), Decimal("1.50"), 7])
def test_dates_and_numbers_are_texts(value: Any, tmp_path: Path) -> None:
    write_any(tmp_path / "train.parquet", [b"x"], said=[value])
    [row] = huggingface(tmp_path, columns={"said": "text"}).list_utterances().rows
    assert row.text == str(value)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("twice", ["audio", "said"])
def test_a_column_that_is_there_twice_is_refused(suffix: str, twice: str, tmp_path: Path) -> None:
    columns = [pyarrow.array([b"x"]), pyarrow.array(["a"]), pyarrow.array([b"y"])]
    write = pyarrow.parquet.write_table if suffix == "parquet" else lambda x, to: write_arrow(to, x)
    write(pyarrow.table(columns, names=["audio", "said", twice]), tmp_path / f"train.{suffix}")
    with pytest.raises(CorpusError, match=f"expected each column once, got {twice}"):
        huggingface(tmp_path, columns={"said": "text"}).list_utterances()


def test_cells_of_no_bytes_are_failures_of_their_rows(tmp_path: Path) -> None:
    write_any(tmp_path / "train.arrow", [b"", None])
    listing = huggingface(tmp_path).list_utterances()
    assert [row.audio for row in listing.rows] == ["train.arrow!/audio/00000000@0+0"]
    assert [failure.id for failure in listing.failures] == ["train.arrow:1"]


def run_clips(folder: Path, data: Sequence[bytes]) -> list[Utterance]:
    mkdir(folder)
    for number, one in enumerate(data):
        (folder / f"{number}.flac").write_bytes(one)
    return prepared(FolderCorpus(name="c", root=folder, license="", split_rule=ALL_TRAIN))["train"]


def test_datasets_that_are_not_whole_are_named(tmp_path: Path) -> None:
    rows = [{"bytes": b"x" * 1000, "path": "a.wav"}] * 6
    for number in (0, 2):
        write_parquet(tmp_path / f"parquet/train-{number:05d}-of-00003.parquet", rows)
    os.truncate(tmp_path / "parquet/train-00002-of-00003.parquet", 500)
    listing = huggingface(tmp_path / "parquet").list_utterances()
    assert len(listing.rows) == 6
    assert [(one.id, one.kind) for one in listing.failures] == [
        ("train-00001-of-00003.parquet", "missing"), ("train-00002-of-00003.parquet", "damaged"),
    ]  # fmt: skip
    shutil.rmtree(tmp_path / "parquet")
    for number in range(3):
        write_any(mkdir(tmp_path / f"dev{number}") / "data-00000-of-00001.arrow", rows)
    whole = (tmp_path / "dev0/data-00000-of-00001.arrow").stat().st_size
    os.truncate(tmp_path / "dev0/data-00000-of-00001.arrow", whole - 8)  # between two batches
    os.truncate(tmp_path / "dev1/data-00000-of-00001.arrow", whole // 2)
    (tmp_path / "dev2/data-00000-of-00001.arrow").write_bytes(b"")
    listing = huggingface(tmp_path).list_utterances()
    assert {(one.id, one.kind) for one in listing.failures} == {
        ("dev0/data-00000-of-00001.arrow", "truncated"),
        ("dev1/data-00000-of-00001.arrow", "damaged"),
        ("dev2/data-00000-of-00001.arrow", "damaged"),
    }
    assert {row.split for row in listing.rows} == {"dev0", "dev1"}
    assert str(tmp_path) not in str(listing.failures)


def test_a_damaged_cell_is_the_failure_of_its_rows(tmp_path: Path) -> None:
    rows = [{"bytes": clip(row), "path": "a.flac"} for row in demo_rows()[:4]]
    write_parquet(tmp_path / "corpus" / "x.parquet", rows)
    path = tmp_path / "corpus" / "x.parquet"
    group = pyarrow.parquet.read_metadata(path).row_group(1).column(0)
    with open(path, "r+b") as file:
        file.seek(group.dictionary_page_offset)
        file.write(b"\xff" * 100)
    corpus = huggingface(tmp_path / "corpus", split_rule=ALL_TRAIN)
    assert [row.id for row in prepared(corpus, max_failures=2)["train"]] == [
        "x/00000000",
        "x/00000001",
    ]
    failed = read_failures(tmp_path / "manifests" / "failures.jsonl")
    assert [(one.id, one.kind) for one in failed] == [
        ("x/00000002", "damaged"), ("x/00000003", "damaged"),
    ]  # fmt: skip


def test_wrong_words_for_a_dataset_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected files \*.parquet or \*.arrow, got none"):
        huggingface(tmp_path).list_utterances()
    write_parquet(tmp_path / "x.parquet", [{"bytes": b"x", "path": "a.wav"}], text=["a"], n=[1])
    write_any(tmp_path / "y.arrow", [b"x"])
    with pytest.raises(CorpusError, match=r"got both: set corpus.files"):
        huggingface(tmp_path).list_utterances()
    assert len(huggingface(tmp_path, files="*.arrow").list_utterances().rows) == 1
    (tmp_path / "y.arrow").unlink()
    for options, said in [
        ({"audio": "speech"}, "expected speech, got audio, text, n; set corpus.audio"),
        ({"columns": {"sentence": "text"}}, "expected sentence, got audio, text, n"),
        ({"audio": "n"}, "column n of x.parquet: expected bytes, a path, or both, got int64"),
    ]:
        with pytest.raises(CorpusError, match=said):
            huggingface(tmp_path, **options).list_utterances()
    table = pyarrow.table({"audio": [b"x" * 1000] * 3})
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    with pyarrow.ipc.new_stream(
        str(mkdir(tmp_path / "packed") / "x.arrow"), table.schema, options=options
    ) as stream:
        stream.write_table(table)
    with pytest.raises(CorpusError, match="expected Arrow without compression"):
        huggingface(tmp_path / "packed").list_utterances()


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "x.parquet", [{"bytes": b"x", "path": "a.wav"}])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CorpusError, match=r"featbank\[huggingface\]"):
        huggingface(tmp_path).list_utterances()


def test_ids_in_another_order_than_the_rows_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = demo_rows()[:8]
    audio = [{"bytes": clip(row), "path": "a.flac"} for row in rows]
    write_parquet(tmp_path / "corpus" / "x.parquet", audio, utt=list("hafbecgd"))
    options: dict[str, Any] = {"split_rule": ALL_TRAIN}
    prepared(huggingface(tmp_path / "corpus", **options))
    assert "row group" not in caplog.text
    prepared(huggingface(tmp_path / "corpus", columns={"utt": "id"}, **options))
    assert "go back to an earlier row group of Parquet 3 times" in caplog.text
