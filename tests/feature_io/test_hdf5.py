"""One dataset an utterance: lhotse's files, both ways, whole or absent."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lhotse.features.io
import numpy as np
import pytest
import torch

from featbank.errors import StoreError
from featbank.feature_io import (
    FeatureStorageReader,
    FeatureStorageWriter,
    LilcomHdf5Reader,
    LilcomHdf5Writer,
    NumpyHdf5Reader,
    NumpyHdf5Writer,
)
from tests.waiting import in_two_processes, running

ROWS = {
    f"speaker/ü-{number}": np.random.default_rng(number).standard_normal((number + 1, 4), "f4")
    for number in range(9)
}
KINDS = [(NumpyHdf5Writer, NumpyHdf5Reader), (LilcomHdf5Writer, LilcomHdf5Reader)]


def write(kind: Any, path: Path, rows: dict[str, np.ndarray], **options: Any) -> Path:
    with kind(path, name="fbank", **options) as writer:
        for key, value in rows.items():
            writer.write(key, value)
    return Path(writer.storage_path)


@pytest.mark.parametrize(("writer", "reader"), KINDS)
def test_lhotse_reads_what_we_write_and_we_read_what_lhotse_writes(
    tmp_path: Path, writer: Any, reader: Any
) -> None:
    ours = write(writer, tmp_path / "ours", ROWS)
    with getattr(lhotse.features.io, writer.__name__)(tmp_path / "theirs") as other:
        for key, value in ROWS.items():
            other.write(key, value.copy())  # lilcom overwrites what it is given
    theirs = getattr(lhotse.features.io, reader.__name__)
    for key in ROWS:
        expected = theirs(tmp_path / "theirs.h5").read(key, 0, None)
        for path in (tmp_path / "ours.h5", tmp_path / "theirs.h5"):
            np.testing.assert_array_equal(reader(path).read(key), expected, strict=True)
            np.testing.assert_array_equal(
                reader(path).read(key, 1, len(expected)), theirs(path).read(key, 1, len(expected))
            )
        tolerance = 0 if writer is NumpyHdf5Writer else 2**-6
        np.testing.assert_allclose(expected, ROWS[key], rtol=0, atol=tolerance)
    assert ours == tmp_path / "ours.h5"


@pytest.mark.parametrize(("writer", "reader"), KINDS)
def test_a_reader_knows_its_ids_and_refuses_others(
    tmp_path: Path, writer: Any, reader: Any
) -> None:
    with reader(write(writer, tmp_path / "x", ROWS)) as found:
        assert (found.ids, len(found)) == (sorted(ROWS), len(ROWS))
        assert "speaker/ü-1" in found
        assert "speaker" not in found  # a folder in HDF5
        with pytest.raises(StoreError, match=r"expected an id that it holds, got 'speaker'"):
            found.read("speaker")
        whole = found["speaker/ü-4"]
        for left, right in ((0, 99), (3, 2), (-1, 1), (0, -1), (99, None)):
            np.testing.assert_array_equal(
                found.read("speaker/ü-4", left, right), whole[left:right], strict=True
            )
            with pytest.raises(StoreError, match=r"expected offsets within its 5 frames"):
                found.read("speaker/ü-4", left, right, strict=True)
        assert isinstance(found, FeatureStorageReader)


def test_dtypes_and_tensors_and_empty_utterances(tmp_path: Path) -> None:
    path = write(
        NumpyHdf5Writer,
        tmp_path / "x",
        {"a": torch.arange(6), "b": np.zeros(0, int)},
        dtype="uint8",
    )
    reader = NumpyHdf5Reader(path)
    assert reader["a"].dtype == np.uint8
    assert reader["a"].tolist() == list(range(6))
    assert reader["b"].shape == (0,)


def test_a_write_leaves_the_array_as_it_was(tmp_path: Path) -> None:
    rows = {key: value.copy() for key, value in ROWS.items()}
    write(LilcomHdf5Writer, tmp_path / "x", rows)
    for key, value in ROWS.items():
        np.testing.assert_array_equal(rows[key], value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_lilcom_is_given_finite_values_only(tmp_path: Path, value: float) -> None:
    with pytest.raises(StoreError, match=r"'a' in .*expected finite values.*got NaN or infinity"):
        write(LilcomHdf5Writer, tmp_path / "x", {"a": np.full((2, 3), value, "f4")})


def test_a_writer_that_has_ended_takes_nothing_more(tmp_path: Path) -> None:
    writer = NumpyHdf5Writer(tmp_path / "x", name="n")
    writer.write("a", np.zeros((1, 1)))
    writer.prepare()
    assert list(tmp_path.glob("[!.]*")) == []
    with pytest.raises(StoreError, match="expected one that is open, got one that is prepared"):
        writer.write("b", np.zeros((1, 1)))
    writer.commit()
    for call in (writer.commit, writer.prepare, lambda: writer.write("b", np.zeros((1, 1)))):
        with pytest.raises(StoreError, match="got one that is ended"):
            call()
    writer.abort()
    assert NumpyHdf5Reader(tmp_path / "x").ids == ["a"]


def write_all(writer: Any, keys: Sequence[str], value: np.ndarray) -> None:
    with writer:
        for key in keys:
            writer.write(key, value)


@pytest.mark.parametrize("kind", [NumpyHdf5Writer, LilcomHdf5Writer])
def test_wrong_writes_are_refused_and_nothing_is_published(tmp_path: Path, kind: Any) -> None:
    frames = np.zeros((2, 3), np.float32)
    for message, *keys in (
        ("expected one write, got a second one", "a", "a"),
        ("expected a name or a relative path", "../a"),
        ("no folder of another", "a/b", "a"),
    ):
        with pytest.raises(StoreError, match=message):
            write_all(kind(tmp_path / "x", name="n"), keys, frames)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match=r"dtype for .*expected one of .*got 'complex64'"):
        kind(tmp_path / "x", name="n", dtype="complex64")


def test_an_exception_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(NumpyHdf5Writer, tmp_path / "x", ROWS)
    before = path.read_bytes()
    with pytest.raises(StoreError):
        write_all(NumpyHdf5Writer(tmp_path / "x", name="n"), ["b", "b"], np.zeros((2, 2)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with NumpyHdf5Writer(tmp_path / "x", name="n") as writer:
        assert isinstance(writer, FeatureStorageWriter)
        with pytest.raises(StoreError, match="expected one writer at a time"):
            NumpyHdf5Writer(tmp_path / "x", name="n")
        writer.write("a", np.zeros((1, 1)))
    assert NumpyHdf5Reader(tmp_path / "x").ids == ["a"]


WRITE_FOR_EVER = """
import sys, itertools, numpy as np
from featbank.feature_io import NumpyHdf5Writer
with NumpyHdf5Writer(sys.argv[1], name="n") as writer:
    for number in itertools.count():
        writer.write(f"u{number}", np.zeros((100, 80)))
        if number == 50:
            print("writing", flush=True)
"""


def test_a_killed_writer_publishes_nothing_and_the_next_succeeds(tmp_path: Path) -> None:
    with running(
        [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path / "x")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "x.h5").exists()
    path = write(NumpyHdf5Writer, tmp_path / "x", ROWS)
    assert NumpyHdf5Reader(path).ids == sorted(ROWS)
    assert list(tmp_path.iterdir()) == [path]


def read_all(reader: Any) -> dict[str, Any]:
    return {key: reader.read(key) for key in reader.ids}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_readers_work_in_other_processes(tmp_path: Path, method: str) -> None:
    reader = NumpyHdf5Reader(write(NumpyHdf5Writer, tmp_path / "x", ROWS))
    assert set(read_all(reader)) == set(ROWS)  # open here before the fork
    for found in in_two_processes(method, read_all, reader):
        for key, value in ROWS.items():
            np.testing.assert_array_equal(found[key], value)


def test_the_same_writes_give_the_same_bytes(tmp_path: Path) -> None:
    first = write(NumpyHdf5Writer, tmp_path / "a", ROWS)
    assert first.read_bytes() == write(NumpyHdf5Writer, tmp_path / "b", ROWS).read_bytes()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    reader = NumpyHdf5Reader(tmp_path / "x")  # a recipe may declare it before it is there
    with pytest.raises(StoreError, match=r"x\.h5: .*nothing there; compute them first"):
        reader.read("a")
    write(NumpyHdf5Writer, tmp_path / "x", ROWS)
    assert reader.ids == sorted(ROWS)


def test_a_reader_and_a_writer_of_relative_paths_survive_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(tmp_path)
    writer = NumpyHdf5Writer("x", name="n")
    monkeypatch.chdir(other)
    with writer:
        writer.write("a", np.ones((2, 3)))
    monkeypatch.chdir(tmp_path)
    reader = NumpyHdf5Reader("x")
    reader.close()  # a later read opens it anew
    monkeypatch.chdir(other)
    assert reader["a"].shape == (2, 3)
    assert pickle.loads(pickle.dumps(reader))["a"].shape == (2, 3)  # noqa: S301


def test_a_pipe_in_the_place_of_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.h5")
    with pytest.raises(StoreError, match=r"expected an HDF5 file, got .*a pipe"):
        NumpyHdf5Reader(tmp_path / "x")
