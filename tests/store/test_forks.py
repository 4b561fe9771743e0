"""A forked child that inherits a writer neither changes nor publishes what its parent writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.trust import run

# Writes half of the rows, lets children end in every way there is, writes the rest, publishes.
INHERITED = """
import gc, multiprocessing, os, sys
from pathlib import Path
import numpy as np
from featbank.errors import StoreError
from featbank.feature_io import NumpyHdf5Reader, NumpyHdf5Writer
from featbank.store import shard_file, sorted_run
from featbank.store import (
    MappedShard, ShardRow, ShardSpec, ShardWriter, StoreBuilder, StoreWriter, open_store
)

path, kind = Path(sys.argv[1]), sys.argv[2]
rows = {f"u{number:02d}": np.full((5, 3), number, np.float32) for number in range(20)}
order = list(rows)[::-1] if kind == "spooled" else list(rows)
spec = ShardSpec(name="x", dtype="int8_scaled", shape=(3,), fingerprint="", numerics={})

class Pieces:
    '''A shard whose rows come frame by frame, and wait for their last one.'''

    def __init__(self):
        self.shard = ShardWriter(path, spec, [ShardRow(id=one, num_frames=5) for one in rows])

    def write(self, name, value):
        if name == "u09":  # its other half comes after the children
            self.shard.write_piece(name, value[:2])
            return
        if name == "u10":
            self.shard.write_piece("u09", rows["u09"][2:])
        self.shard.write(name, value)

    def commit(self):
        self.shard.close()

    def abort(self):
        self.shard.abort()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.commit()
        finally:
            self.abort()

if kind == "large":  # shards as if they were: written by a thread
    shard_file.LARGE_BYTES = sorted_run.LARGE_BYTES = 0

def make():
    if kind == "hdf5":
        return NumpyHdf5Writer(path, name="x")
    return Pieces() if kind == "pieces" else StoreWriter(path, name="x", shard_bytes=400)

def returns():
    pass

def leaves():
    sys.exit(0)

def raises():
    raise RuntimeError("an error of the child's")

def collects():
    globals().pop("writer")
    gc.collect()
    os._exit(0)

def is_refused():
    for act in (lambda: writer.write("v", rows["u00"]), writer.commit, lambda: writer.abort()):
        try:
            act()
        except StoreError as error:
            assert "forked from it" in str(error) or "plan" in str(error), error
    os._exit(0)

def fork(act):
    child = os.fork()
    if not child:
        sys.stderr = open(os.devnull, "w")
        act()
        return True
    assert os.waitpid(child, 0)[0] == child
    return False

with make() as writer:
    for number, name in enumerate(order):
        writer.write(name, rows[name])
        if number == 9:
            if any(fork(act) for act in (leaves, raises, collects, is_refused)):
                raise AssertionError("these do not come back")
            process = multiprocessing.get_context("fork").Process(target=returns)
            process.start()
            process.join()
            in_child = fork(returns)
            if in_child:
                break  # and leaves the block as one that is done
if kind == "pieces":
    shard = MappedShard(path)
    reader = {name: shard.read(row) for row, name in enumerate(shard.ids())}
else:
    reader = NumpyHdf5Reader(path) if kind == "hdf5" else open_store(path)
    assert kind == "hdf5" or not reader.verify()
print({name: reader[name][0, 0].round() for name in rows} == {n: v[0, 0] for n, v in rows.items()})
"""


@pytest.mark.parametrize("kind", ["sorted", "large", "spooled", "pieces", "hdf5"])
def test_children_leave_what_their_parent_writes_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("0123456789abcdef.h5" if kind == "pieces" else "s")
    assert run(INHERITED, path, kind) == "True\n"
    assert [one.name for one in tmp_path.iterdir()] == ["s.h5" if kind == "hdf5" else path.name]


BUILT = """
import os, sys
from pathlib import Path
from featbank.errors import StoreError
from featbank.store import StoreBuilder, StoreHeader

header = StoreHeader(name="x", dtype="int8", shape=(), provenance={})
with StoreBuilder(sys.argv[1]) as builder:
    if not os.fork():
        for act in (lambda: builder.complete(header), builder.publish):
            try:
                act()
            except StoreError as error:
                assert "forked from it" in str(error)
            else:
                os._exit(1)
        builder.abort()
        os._exit(0)
    assert os.wait()[1] == 0
    builder.complete(header)
    builder.publish()
"""


def test_a_child_neither_publishes_nor_drops_what_a_builder_holds(tmp_path: Path) -> None:
    run(BUILT, tmp_path / "s")
    assert [one.name for one in (tmp_path / "s").iterdir()] == ["header.json"]
