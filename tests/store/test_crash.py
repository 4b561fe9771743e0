"""Whatever happens to a writer, a reader finds the old store, the new one, or none."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.failures import Failure, read_failures
from featbank.errors import StoreError
from featbank.store import StoreBuilder, StoreHeader, StoreWriter, builder, open_store
from featbank.store.platform import exchange
from tests.store.trust import kill, run, start

WRITER = """
import sys
import numpy as np
from featbank.store import StoreWriter

path, generation = sys.argv[1], 1
print("ready", flush=True)
while True:
    with StoreWriter(path, name="fbank", dtype="float32", shard_bytes=20000) as writer:
        for number in range(100):
            values = np.full((number, 8), generation, np.float32)
            writer.write(f"u{number:03d}", values)
    generation += 1
"""

# Forks itself for each kill: SIGKILL before the first call to the file system that Python reports,
# then before the second, and so on, until a write makes no more of them.
KILLED_EVERYWHERE = """
import itertools, os, shutil, signal, sys
from pathlib import Path
import numpy as np
from featbank.store import StoreWriter, open_store

path, replaces, step = Path(sys.argv[1]), sys.argv[2] == "True", int(sys.argv[3])
exchanges = sys.argv[4] == "True"  # else a store that is replaced is gone between two renames

def write(value):
    with StoreWriter(path, name="x", dtype="int16", shard_bytes=1500) as writer:
        for number in range(30)[::step]:
            writer.write(f"u{number:02d}", np.full((number, 3), value, np.int16))

def value():
    store = open_store(path)
    assert store.verify() == []
    assert len(store.shards) > 2 and len(store) == 30
    [found] = {int(one) for name in store.ids for one in store[name].ravel()}
    return found

def kill_before(call):
    calls = itertools.count()
    def report(event, arguments):
        if event.startswith(("open", "os.", "shutil.", "fcntl.")) and next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(report)

for call in itertools.count():
    if replaces:
        write(1)
    child = os.fork()
    if not child:
        kill_before(call)
        write(2)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    if path.exists() or (replaces and exchanges):
        assert value() in ((1, 2) if replaces else (2,))
    write(3)
    assert value() == 3
    assert list(path.parent.iterdir()) == [path]
    shutil.rmtree(path)
    if status == 0:
        break
print(call)
"""

# Leaves no room, then a page, then two, until a write finds enough.
FULL_DISK = """
import itertools, os, shutil, subprocess, sys
from pathlib import Path
import numpy as np
from featbank.errors import StoreError
from featbank.store import StoreWriter, open_store

disk, step, compression = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] or None
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", disk], check=True)
path, filler = disk / "s", disk / "filler"
noise = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)

def write(num_rows):
    with StoreWriter(
        path, name="x", dtype="float32", shard_bytes=8000, compression=compression
    ) as writer:
        for number in range(num_rows)[::step]:
            writer.write(f"u{number:02d}", noise[: number + 1])

def num_rows():
    store = open_store(path)
    assert store.verify() == []
    return len(store)

def leave(num_bytes):
    filler.unlink(missing_ok=True)
    room = os.statvfs(disk)
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_bsize - num_bytes)

write(5)
for pages in itertools.count():
    leave(pages * 4096)
    try:
        write(40)
        break
    except StoreError as error:
        assert "expected a disk with room that works, got" in str(error), error
    assert sorted(os.listdir(disk)) == ["filler", "s"]
    assert num_rows() == 5
assert num_rows() == 40
filler.unlink()
write(30)
assert num_rows() == 30
print(pages)
"""

HOLDER = """
import sys
from featbank.store import StoreBuilder

with StoreBuilder(sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.read()
"""


# Looks for the store before each call to the file system that Python reports.
WATCHED = """
import os, sys
import numpy as np
from featbank.store import StoreWriter

path, seen = sys.argv[1], []

def look(event, arguments):
    if event.startswith(("open", "os.", "shutil.", "fcntl.")):
        seen.append(os.path.exists(path))

sys.addaudithook(look)
with StoreWriter(path, name="x") as writer:
    writer.write("a", np.zeros((3, 2)))
assert all(seen)
print(len(seen))
"""


def can_exchange(folder: Path) -> bool:
    one, other = folder / "one", folder / "other"
    one.mkdir()
    other.mkdir()
    done = exchange(one, other)
    one.rmdir()
    other.rmdir()
    return done


def write(path: Path, value: float, num_rows: int = 100) -> None:
    with StoreWriter(path, name="fbank", dtype="float32", shard_bytes=20000) as writer:
        for number in range(num_rows):
            writer.write(f"u{number:03d}", np.full((number, 8), value, np.float32))


def one_generation(path: Path) -> float:
    """Return the one value that all frames of a whole store hold."""
    store = open_store(path)
    assert store.verify() == []
    assert len(store) == 100
    found = np.unique(np.concatenate([store[name] for name in store.ids]))
    assert len(found) == 1
    return found[0]


def test_a_writer_killed_at_any_time_leaves_a_whole_store_or_none(tmp_path: Path) -> None:
    path = tmp_path / "s"
    chance = random.Random(0)
    for _ in range(6):
        write(path, -1)
        process = start(WRITER, path)
        time.sleep(chance.uniform(0, 0.3))
        kill(process)
        if path.exists():  # it is missing only between the two renames of a commit
            one_generation(path)
        write(path, -2)  # the killed writer's lock is gone, and what it left is cleared
        assert one_generation(path) == -2
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "replaces"), [(1, False), (1, True), (-1, True)])
def test_a_writer_killed_before_any_call_leaves_a_whole_store_or_none(
    tmp_path: Path, step: int, replaces: bool
) -> None:
    exchanges = can_exchange(tmp_path)
    assert int(run(KILLED_EVERYWHERE, tmp_path / "s", replaces, step, exchanges)) > 20


def test_there_is_a_store_at_any_time_while_it_is_replaced(tmp_path: Path) -> None:
    if not can_exchange(tmp_path):
        pytest.skip("this disk cannot exchange two folders")
    write(tmp_path / "s", 1)
    assert int(run(WATCHED, tmp_path / "s")) > 10


def test_a_store_is_replaced_where_folders_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "exchange", lambda *_: False)
    for value in (1, 2):
        write(tmp_path / "s", value)
        assert one_generation(tmp_path / "s") == value
        assert list(tmp_path.iterdir()) == [tmp_path / "s"]


def test_a_kill_between_the_two_renames_gives_the_old_store_back(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write(path, 7)
    path.rename(tmp_path / ".s.replaced")
    StoreBuilder(path).abort()
    assert one_generation(path) == 7
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_the_old_store_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write(path, 7)

    def fail() -> None:
        with StoreWriter(path, name="x", dtype="int8") as writer:
            writer.write("a", np.zeros(3, np.int8))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert one_generation(path) == 7
    assert list(tmp_path.iterdir()) == [path]


def test_a_store_replaces_the_old_one_without_touching_its_files(tmp_path: Path) -> None:
    path, cache = tmp_path / "s", tmp_path / "cache"
    write(path, 7)
    cache.mkdir()
    before = {}
    for entry in path.iterdir():
        os.link(entry, cache / entry.name)  # as DVC keeps a store in its cache
        before[entry.name] = entry.read_bytes()
    reader = open_store(path)
    assert reader["u099"][0, 0] == 7
    write(path, 8)
    assert one_generation(path) == 8
    assert {entry.name: entry.read_bytes() for entry in cache.iterdir()} == before
    assert reader["u099"][0, 0] == 7  # a map outlives its name


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with StoreWriter(path, name="x", dtype="int8") as writer:
        writer.write("a", np.zeros(3, np.int8))
        with pytest.raises(StoreError, match="expected one writer at a time, got another one"):
            StoreWriter(path, name="x", dtype="int8")
    assert len(open_store(path)) == 1


def test_a_writer_of_another_process_is_refused_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    process = start(HOLDER, path)
    try:
        with pytest.raises(StoreError, match="expected one writer at a time"):
            StoreBuilder(path)
    finally:
        kill(process)
    write(path, 4)
    assert one_generation(path) == 4
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_no_store_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "s", tmp_path / "thesis.txt"
    target.write_text("three years of work")
    if kind == "folder":
        path.mkdir()
        target.rename(path / target.name)
    elif kind == "file":
        target.rename(path)
    else:
        path.symlink_to(target)
    with pytest.raises(StoreError, match="expected a free place, or a store to replace"):
        StoreBuilder(path)


def test_what_came_to_the_place_meanwhile_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    writer = StoreWriter(path, name="x", dtype="int8")
    writer.write("a", np.zeros(3, np.int8))
    path.mkdir()
    (path / "thesis.txt").write_text("three years of work")
    with pytest.raises(StoreError, match="expected a free place, or a store to replace"), writer:
        pass
    assert [entry.name for entry in path.iterdir()] == ["thesis.txt"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_store_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "far" / "s", tmp_path / "link"
    link.symlink_to(real)
    with pytest.raises(StoreError, match="expected a free place"):  # a disk that is not there?
        StoreBuilder(link)
    write(real, 4)
    for value in (5, 6, 7):
        write(link, value)
        assert one_generation(real) == value
        assert sorted(tmp_path.iterdir()) == [real.parent, link]
        assert link.readlink() == real
        assert list(real.parent.iterdir()) == [real]


def test_a_builder_that_cannot_clear_what_was_left_lets_the_lock_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".s.partial").mkdir()
    (tmp_path / ".s.partial" / "left").mkdir()

    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        with pytest.raises(PermissionError):
            StoreBuilder(tmp_path / "s")
    write(tmp_path / "s", 4)
    assert one_generation(tmp_path / "s") == 4


def test_an_empty_folder_may_become_a_store(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    write(tmp_path / "s", 3)
    assert one_generation(tmp_path / "s") == 3


def header(**fields: Any) -> StoreHeader:
    return StoreHeader(name="x", dtype="int8", shape=(), provenance={}, **fields)


def test_failures_are_listed_beside_the_shards_by_id(tmp_path: Path) -> None:
    failures = [Failure(id=name, audio=f"{name}.wav", error="empty") for name in ("b", "a")]
    with StoreBuilder(tmp_path / "s") as builder:
        builder.complete(header(num_failures=2), failures)
        builder.publish()
    assert read_failures(tmp_path / "s" / "failures.jsonl") == failures[::-1]
    assert open_store(tmp_path / "s").header.num_failures == 2


def test_a_writer_lists_what_failed_and_refuses_to_store_it_too(tmp_path: Path) -> None:
    failure = Failure(id="b", audio="b.wav", error="empty")
    with StoreWriter(tmp_path / "s", name="x", dtype="int8") as writer:
        writer.write("a", np.zeros(3, np.int8))
        writer.fail(failure)
        for twice in (failure, Failure(id="a", audio="a.wav", error="empty")):
            with pytest.raises(StoreError, match="expected one write, got a second one"):
                writer.fail(twice)
        with pytest.raises(StoreError, match="expected one write, got a second one"):
            writer.write("b", np.zeros(3, np.int8))
    assert read_failures(tmp_path / "s" / "failures.jsonl") == [failure]
    assert list(open_store(tmp_path / "s").ids) == ["a"]


def test_a_header_that_miscounts_failures_is_refused(tmp_path: Path) -> None:
    with (
        StoreBuilder(tmp_path / "s") as builder,
        pytest.raises(StoreError, match="expected num_failures 0, got 1"),
    ):
        builder.complete(header(num_failures=1))
    assert list(tmp_path.iterdir()) == []


def test_a_header_must_list_the_shards_that_are_there(tmp_path: Path) -> None:
    write(tmp_path / "s", 1)
    listed = open_store(tmp_path / "s").shards
    with StoreBuilder(tmp_path / "t") as builder:
        with pytest.raises(StoreError, match=r"\.h5 of .*bytes, got no file"):
            builder.complete(header(shards=listed))
        (builder.folder / listed[0].name).write_bytes(b"stray")
        with pytest.raises(StoreError, match="no such shard in the header, got 5 bytes"):
            builder.complete(header())
        (builder.folder / listed[0].name).unlink()
        (builder.folder / ".dead-worker.partial").write_bytes(b"temporary")
        builder.complete(header())
        builder.publish()
    assert [entry.name for entry in (tmp_path / "t").iterdir()] == ["header.json"]


def test_a_file_that_grows_too_large_is_an_error_and_the_next_run_succeeds(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30000, limits[1]))
        with pytest.raises(StoreError, match=r"store .*expected a disk with room.*File too large"):
            write(tmp_path / "s", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "s", 2)
    assert one_generation(tmp_path / "s") == 2


# a process that alone sees what it mounts
ALONE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = [*ALONE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount a small disk")
@pytest.mark.parametrize("compression", ["", "zstd"], ids=["plain", "zstd"])
@pytest.mark.parametrize("step", [1, -1], ids=["sorted", "reversed"])
def test_a_full_disk_is_an_error_and_the_next_run_succeeds(
    tmp_path: Path, step: int, compression: str
) -> None:
    assert int(run(FULL_DISK, tmp_path, step, compression, command=ALONE)) > 5
