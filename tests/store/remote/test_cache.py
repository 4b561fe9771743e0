"""The cache: shared by processes, within its bound, and never believed without a checksum."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.store import Store, open_store
from featbank.store.remote import cache as cache_module
from featbank.store.remote.cache import ShardCache
from featbank.store.remote.room import make_room
from tests.store.remote.range_server import RangeServer
from tests.store.remote.stores import assert_same, open_hasty, write_floats

_fork = multiprocessing.get_context("fork")


def _in_a_fork(work: Callable[[], Any]) -> int | None:
    """Do something in a process of its own; return how it ended."""
    process = _fork.Process(target=work)
    process.start()
    process.join()
    return process.exitcode


def test_two_processes_fill_one_cache_and_both_read_right(
    server: RangeServer, stores: Path
) -> None:
    url, local = f"{server.url}/large", open_store(stores / "large")
    before = open_hasty(url)
    before["00000"]

    def read_all(ids: list[str]) -> None:
        store = open_hasty(url)
        for one in ids:
            np.testing.assert_array_equal(store[one], local[one])

    ids = list(local.ids)
    both = [_fork.Process(target=read_all, args=(some,)) for some in (ids, ids[::-1])]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    server.requests.clear()
    assert_same(before, local)
    assert not server.requests


@pytest.mark.parametrize("number", range(6))
def test_a_process_that_is_killed_as_it_writes_leaves_nothing_wrong(
    server: RangeServer, stores: Path, cache: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, local = f"{server.url}/large", open_store(stores / "large")
    write = cache_module._write
    calls = []

    def write_half(descriptor: int, data: Any, start: int) -> None:
        if len(calls) == number:
            write(descriptor, memoryview(data)[: len(data) // 2], start)
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(start)
        write(descriptor, data, start)

    def read_until_killed() -> None:
        monkeypatch.setattr(cache_module, "_write", write_half)
        store = open_hasty(url)
        for one in local.ids:
            _ = store[one]

    assert _in_a_fork(read_until_killed) == -signal.SIGKILL
    for path in cache.glob("*.head"):
        assert path.stat().st_size == local.shards[0].num_bytes
    assert_same(open_hasty(url), local)


def test_what_is_damaged_on_this_disk_is_fetched_again(
    server: RangeServer, stores: Path, cache: Path
) -> None:
    url, local = f"{server.url}/large", open_store(stores / "large")
    list(open_hasty(url).read_many(local.ids))
    for path in cache.iterdir():
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        data[500_000] ^= 1  # of the values; a hole of the head
        path.write_bytes(data)
    server.requests.clear()
    again = open_hasty(url)
    assert_same(again, local)
    # the head, and the two rows that have these bytes
    assert len([name for name in server.requests if name.endswith(".h5")]) == 3


@pytest.mark.parametrize("kind", ["head", "rows", "*"])
def test_what_is_in_the_cache_may_go_at_any_time(
    server: RangeServer, stores: Path, cache: Path, kind: str
) -> None:
    url, local = f"{server.url}/large", open_store(stores / "large")
    store = open_hasty(url)
    list(store.read_many(local.ids))
    for path in cache.glob(f"*.{kind}"):
        path.unlink()
    assert_same(store, local)
    assert_same(open_hasty(url), local)


def test_a_cache_stays_within_its_bound_and_keeps_what_was_read_last(
    tmp_path: Path, cache: Path
) -> None:
    local = write_floats(tmp_path / "many", num_rows=60, shard_bytes=400_000)
    bound = 2_000_000
    store = open_store(f"file://{tmp_path}/many", cache_bytes=bound)
    for one, values in zip(local.ids, store.read_many(local.ids), strict=True):
        np.testing.assert_array_equal(values, local[one])
    for one in local.ids:
        np.testing.assert_array_equal(store[one], local[one])
        assert _taken(cache) <= bound
    assert _taken(cache) > 0
    last = local.shards[-1].digest
    assert (cache / f"{last}.rows").exists()


def test_what_is_no_file_of_a_cache_is_never_removed_to_make_room(tmp_path: Path) -> None:
    digest, partial = "0123456789abcdef" * 4, ".0123456789abcdef.partial"
    of_others = [
        "train-000.tar", ".hidden", ".0123456789abcdef.h5", f"{digest}.h5", f"{digest}.head.bak",
        f"{digest.upper()}.head", f"{digest[1:]}.rows", partial[1:],
    ]  # fmt: skip
    of_caches = [f"{digest}.head", f"{digest}.rows", f"{digest[::-1]}.rows", partial]
    for name in of_others + of_caches:
        (tmp_path / name).write_bytes(bytes(100_000))
        os.utime(tmp_path / name, (0, 0))
    make_room(tmp_path, 0)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(of_others)


def test_what_a_killed_process_left_goes_after_an_hour(tmp_path: Path) -> None:
    old, new = (f".{'0' * 15}{number}.partial" for number in range(2))
    for name in (old, new):
        (tmp_path / name).write_bytes(b"x")
    os.utime(tmp_path / old, (1, 1))
    make_room(tmp_path, 100)
    assert [one.name for one in tmp_path.iterdir()] == [new]


def test_without_a_cache_nothing_stays_on_this_disk(
    server: RangeServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    store: Store | None = open_hasty(f"{server.url}/units", cache_bytes=0)
    assert store is not None
    assert len(store["00007"])
    assert [*scratch.iterdir()]
    # a fork that ends takes nothing away
    assert _in_a_fork(lambda: None) == 0
    assert len(store["00009"])
    store = None
    gc.collect()
    assert not [*scratch.iterdir()]
    assert not cache.exists()


def test_a_disk_that_does_not_take_rows_costs_the_cache_and_no_read(
    server: RangeServer,
    stores: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local = open_store(stores / "large")
    store = open_hasty(f"{server.url}/large")
    store.open_shard(0)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "_write", refuse)
    for one in ("00001", "00002"):
        np.testing.assert_array_equal(store[one], local[one])
    assert len(caplog.records) == 1
    assert "No space left on device; reads go on without it" in caplog.text


@pytest.mark.parametrize("cache_bytes", [None, 0])
def test_a_cache_whose_folder_is_removed_is_made_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, cache_bytes: int | None
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    local = write_floats(tmp_path / "many", num_rows=12, shard_bytes=400_000)
    store = open_store(f"file://{tmp_path}/many", cache_bytes=cache_bytes)
    store.open_shard(0)
    [folder] = [cache] if cache_bytes is None else (tmp_path / "temporary").iterdir()
    shutil.rmtree(folder)
    assert_same(store, local)
    assert list(folder.glob("*.head"))


def test_a_disk_that_is_full_below_the_bound_keeps_what_was_read_last(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = cache_module._write, 1_000_000

    def write_within(descriptor: int, data: bytes | memoryview, start: int) -> None:
        if _taken(cache) + len(data) > room:
            raise OSError(28, "No space left on device")
        write(descriptor, data, start)

    local = write_floats(tmp_path / "many", num_rows=40, shard_bytes=400_000)
    monkeypatch.setattr(cache_module, "_write", write_within)
    for _ in range(2):
        assert_same(open_store(f"file://{tmp_path}/many"), local)
    assert room // 4 < _taken(cache) <= room


def test_the_cache_lies_where_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEATBANK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_module.cache_folder() == Path("/somewhere/featbank")
    monkeypatch.setenv("FEATBANK_CACHE", "/elsewhere")
    assert cache_module.cache_folder() == Path("/elsewhere")


def test_a_row_of_another_place_in_the_cache_is_noticed(server: RangeServer, stores: Path) -> None:
    local = open_store(stores / "large")
    store = open_hasty(f"{server.url}/large")
    shard = store.open_shard(0)
    before = np.asarray(shard.frame_starts)
    wrong = local["00002"].tobytes()
    ShardCache().write(store.shards[0], before, [(range(1, 2), wrong)])
    np.testing.assert_array_equal(store["00001"], local["00001"])


def _taken(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())
