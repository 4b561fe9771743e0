"""A call to the disk that fails, any of them, is an error that names the file: never a crash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.trust import environment
from tests.waiting import HANG_S

SHIM = Path(__file__).with_name("fault_shim.c")

# The first call of some kinds fails, in the next round the second, and so on, until none is left.
# Prints how many there were, what came of it, and what was there then.
FAILED_EVERYWHERE = """
import ctypes, os, shutil, sys
from itertools import count
from pathlib import Path
import numpy as np
from featbank.errors import FeatbankError
from featbank.feature_io import NumpyHdf5Reader, NumpyHdf5Writer
from featbank.store import StoreWriter, open_store, outlet, shard_file, sorted_run

folder, kind, kinds, act = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
shim = ctypes.CDLL(None)
if kind == "large":  # shards as if they were: past the cache of files, on a thread
    shard_file.LARGE_BYTES = sorted_run.LARGE_BYTES = 0
    outlet._ENOUGH_BYTES = 100
options = {"compressed": {"compression": "zstd"}, "scaled": {"dtype": "int8_scaled"}}.get(kind, {})
step = -1 if kind in ("spooled", "scaled") else 1
ids = [f"u{number:02d}" for number in range(12)]

def write(path, value):
    if kind == "hdf5":
        writer = NumpyHdf5Writer(path, name="x")
    else:
        writer = StoreWriter(path, name="x", shard_bytes=700, **options)
    with writer:
        for number, name in list(enumerate(ids))[::step]:
            writer.write(name, np.full((number, 6), value, np.float32))

def read(path):
    reader = NumpyHdf5Reader(path) if kind == "hdf5" else open_store(path)
    assert list(reader.ids) == ids
    [found] = {round(float(one)) for name in ids for one in reader.read(name).ravel()}
    return found

def outcome(path, number, error):
    shim.fault_arm(number, error, kinds)
    try:
        write(path, 2) if act == "write" else read(path)
        found = "done"
    except FeatbankError as refused:
        found = "refused" if str(path) in str(refused) else f"nameless: {refused}"
    hit = shim.fault_count() >= number
    shim.fault_arm(0, 0, 0)
    return found if hit else None

seen, num_faults = set(), 0
for error in map(int, sys.argv[5:]):
    for number in count(1):
        path = folder / f"{error}-{number}" / "s"
        path.parent.mkdir()
        write(path, 1)
        found = outcome(path, number, error)
        if found is None:
            break
        num_faults += 1
        seen.add(f"{found}:{read(path)}")
        assert kind == "hdf5" or not open_store(path).verify()
        assert kind == "hdf5" or os.listdir(path.parent) == ["s"]
        shutil.rmtree(path.parent)
print(num_faults, *sorted(seen))
"""

WRITES, SYNCS, RENAMES, READS, MAPS = 1, 2, 4, 8, 16
HALF, EIO, ENOSPC = 0, 5, 28


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and Linux")
    built = tmp_path_factory.mktemp("shim") / "fault.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", built, SHIM, "-ldl"], check=True)
    return built


def _fail_everywhere(
    shim: Path, folder: Path, kind: str, kinds: int, act: str, *errors: int
) -> set[str]:
    arguments = [folder, kind, kinds, act, *errors]
    done = subprocess.run(
        [sys.executable, "-c", FAILED_EVERYWHERE, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env={**environment(), "LD_PRELOAD": os.fspath(shim)},
    )
    assert done.returncode == 0, done.stderr
    num_faults, *seen = done.stdout.split()
    assert int(num_faults) > 2
    return set(seen)


@pytest.mark.parametrize("kind", ["sorted", "large", "spooled", "compressed", "scaled", "hdf5"])
def test_a_write_that_fails_is_refused_and_the_earlier_store_stays(
    shim: Path, tmp_path: Path, kind: str
) -> None:
    seen = _fail_everywhere(shim, tmp_path, kind, WRITES, "write", EIO, ENOSPC)
    # the owner's name in a lock file may be missing: the new store is whole
    assert {"refused:1"} <= seen <= {"refused:1", "done:2"}


@pytest.mark.parametrize("kind", ["large", "spooled", "compressed", "hdf5"])
def test_a_write_that_takes_half_of_its_bytes_is_gone_on_with(
    shim: Path, tmp_path: Path, kind: str
) -> None:
    assert _fail_everywhere(shim, tmp_path, kind, WRITES, "write", HALF) == {"done:2"}


@pytest.mark.parametrize("kind", ["compressed", "hdf5"])
def test_a_rename_or_a_sync_that_fails_leaves_one_whole_store(
    shim: Path, tmp_path: Path, kind: str
) -> None:
    seen = _fail_everywhere(shim, tmp_path, kind, SYNCS | RENAMES, "write", EIO)
    assert seen == {"refused:1", "refused:2"}  # the last sync comes after the rename


@pytest.mark.parametrize("kind", ["sorted", "compressed"])
def test_a_read_or_a_map_that_fails_is_refused(shim: Path, tmp_path: Path, kind: str) -> None:
    assert _fail_everywhere(shim, tmp_path, kind, READS | MAPS, "read", EIO) == {"refused:1"}
