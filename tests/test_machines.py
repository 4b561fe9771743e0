"""What a machine or its disk need not offer is done without; errors of open files name them."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.audio.containers import read_through
from featbank.base.processors import usable_processors
from featbank.engine.work import put
from featbank.errors import StoreError
from featbank.files.disk import UNTOLD, free_bytes
from featbank.files.opening import open_regular, read_regular
from featbank.store import platform
from tests.files.test_disk import at_most
from tests.store.trust import make_rows, run, write

LISTENS = """
import multiprocessing, os, tempfile
from featbank.runners.socket_folder import choose_socket_folder

assert tempfile.gettempdir() == os.environ["TMPDIR"]
choose_socket_folder()
assert tempfile.gettempdir() == os.environ["TMPDIR"]
process = multiprocessing.get_context("forkserver").Process(target=os.getpid)
process.start()
process.join()
print(process.exitcode)
"""


def refuse(number: int) -> Any:
    def refused(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return refused


def test_processors_are_counted_where_affinity_is_refused_or_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert usable_processors() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.setattr(os, "sched_getaffinity", refuse(errno.ENOSYS))
    assert usable_processors() == 7
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_processors() == 1


def test_a_long_tmpdir_takes_no_socket_and_keeps_no_worker_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("job" * 40)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    assert run(LISTENS) == "0\n"


class _Libc:
    """One whose `mmap` is refused with some flags."""

    def __init__(self, refused: list[int], number: int) -> None:
        self._refused, self._number = refused, number
        self.munmap = platform._libc.munmap
        self.madvise = platform._libc.madvise
        self._mmap = platform._libc.mmap

    def mmap(self, *arguments: Any) -> Any:
        if arguments[3] not in self._refused:
            return self._mmap(*arguments)
        ctypes.set_errno(self._number)
        return platform._FAILED


def test_a_file_system_without_shared_maps_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(20)
    store = write(tmp_path / "s", rows)
    monkeypatch.setattr(platform, "_libc", _Libc([mmap.MAP_SHARED], errno.ENODEV))
    for name, values in rows.items():
        np.testing.assert_array_equal(store[name], values)


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENOMEM])
def test_a_map_that_is_refused_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "x").write_bytes(b"values")
    flags = [mmap.MAP_SHARED, mmap.MAP_PRIVATE]
    monkeypatch.setattr(platform, "_libc", _Libc(flags, number))
    with (
        open(tmp_path / "x", "rb") as file,
        pytest.raises(OSError, match="while mapping") as caught,
    ):
        platform.map_file(file.fileno(), 6)
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "x"))


@pytest.mark.parametrize("number", [errno.EPERM, errno.EMLINK, errno.EXDEV, errno.ENOTSUP])
def test_a_shard_is_copied_where_links_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "shard").write_bytes(b"values")
    monkeypatch.setattr(os, "link", refuse(number))
    put(tmp_path / "shard", tmp_path / "store" / "shard")
    assert (tmp_path / "store" / "shard").read_bytes() == b"values"
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["shard"]


def test_a_disk_that_does_not_tell_what_is_free_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < free_bytes(tmp_path / "not" / "there") < UNTOLD
    nothing = os.statvfs_result([4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255])
    monkeypatch.setattr(os, "statvfs", lambda _: nothing)  # as of a bucket that is mounted
    assert free_bytes(tmp_path) == UNTOLD
    monkeypatch.setattr(os, "statvfs", refuse(errno.ENOSYS))
    assert free_bytes(tmp_path) == UNTOLD
    monkeypatch.setattr(os, "statvfs", refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        free_bytes(tmp_path)


def test_a_write_that_fails_names_the_shard_and_the_store(tmp_path: Path) -> None:
    with (
        at_most(20_000),
        pytest.raises(StoreError, match=rf"{tmp_path / 's'}: .* while sizing: '.*\.h5\..*partial'"),
    ):
        write(tmp_path / "s", make_rows(300), shard_bytes=1 << 16)
    assert list(tmp_path.iterdir()) == []


def test_reads_that_fail_name_the_file() -> None:
    path = "/proc/self/mem"  # nothing is mapped at 0
    with pytest.raises(OSError, match=f"Input/output error while reading: '{path}'"):
        read_regular(path, 100)
    with open_regular(path) as file:
        for read in (file.read, file.readline, lambda: read_through(file.fileno())):
            with pytest.raises(OSError, match="Input/output error while reading: '/proc/"):
                read()
