"""An error of the disk names the file; what a disk need not offer is no error."""

from __future__ import annotations

import errno
import os
import pickle
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from featbank.files.disk import fsync_file, fsync_folder, named, naming
from featbank.files.provenance import file_sha256, write_atomic


@contextmanager
def at_most(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refuse_fsync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)


def test_a_write_that_fails_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_atomic(path, "old")
    with at_most(1000), pytest.raises(OSError, match="while writing") as caught:
        write_atomic(path, "new" * 1000)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_read_that_fails_names_the_file() -> None:
    with pytest.raises(OSError, match="while reading: '/proc/self/mem'"):
        file_sha256("/proc/self/mem")  # nothing is mapped at 0


def test_an_error_that_names_its_file_stays_as_it_is() -> None:
    with pytest.raises(FileNotFoundError) as caught, naming("folder", "reading"):
        Path("folder/file").read_bytes()
    assert caught.value.filename == "folder/file"
    assert caught.value.__cause__ is None


def test_a_named_error_keeps_its_class_and_its_file_on_the_way_between_processes() -> None:
    error = named(PermissionError(errno.EACCES, "Permission denied"), "x.h5", "reading")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - what multiprocessing does
    assert type(again) is PermissionError
    assert str(again) == "[Errno 13] Permission denied while reading: 'x.h5'"


def test_an_error_of_a_library_gets_the_path_before_its_words() -> None:
    assert str(named(OSError("bad signature"), "x.h5", "reading")) == "x.h5: bad signature"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_that_cannot_be_asked_to_sync_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_fsync(monkeypatch, number)
    write_atomic(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_sync_that_fails_is_an_error_of_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_fsync(monkeypatch, number)
    with pytest.raises(OSError, match=f"while syncing to disk: '{tmp_path}'") as caught:
        fsync_folder(tmp_path)
    assert caught.value.errno == number
    with (
        open(tmp_path / "x", "wb") as file,
        pytest.raises(OSError, match="while syncing") as caught,
    ):
        fsync_file(file.fileno(), file.name)
    assert caught.value.filename == str(tmp_path / "x")


def test_some_file_systems_sync_only_what_is_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_fsync(monkeypatch, errno.EBADF)
    fsync_folder(tmp_path)
    with open(tmp_path / "x", "wb") as file, pytest.raises(OSError, match="Bad file descriptor"):
        fsync_file(file.fileno(), file.name)
