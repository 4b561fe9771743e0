"""A store that is read to compute from gives what was written, or says that it cannot."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.store import Store, StoreWriter, open_verified, read_header
from tests.conftest import ROOT
from tests.flipping import flip, flip_in

IDS = [f"u{number}" for number in range(6)]


def write(path: Path, **options: Any) -> Store:
    rng = np.random.default_rng(0)
    with StoreWriter(path, name="x", shape=(5,), shard_bytes=2000, **options) as writer:
        for one in IDS:
            writer.write(one, rng.normal(size=(20, 5)), input_digest=one.encode() * 8)
    return open_verified(path)


def read_all(store: Store, ids: Sequence[str], values: Mapping[str, np.ndarray]) -> None:
    for one in ids:
        np.testing.assert_array_equal(store[one], values[one])


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float32"},
        {"dtype": "int8_scaled"},
        {"dtype": "float16", "compression": "zstd"},
    ],
    ids=str,
)
def test_no_flipped_bit_of_a_shard_gets_through(options: dict[str, Any], tmp_path: Path) -> None:
    sound = write(tmp_path / "s", **options)
    values = {one: np.array(sound[one]) for one in IDS}
    for info in read_header(tmp_path / "s").shards:
        ids = [one for one in IDS if info.first_id <= one <= info.last_id]
        path = tmp_path / "s" / info.name
        for position in range(0, info.num_bytes, 41):
            flip(path, position, bit=position % 8)
            store = open_verified(tmp_path / "s")
            with pytest.raises(StoreError, match=r"; (featbank verify --remove|install)"):
                read_all(store, ids, values)
            flip(path, position, bit=position % 8)
    read_all(open_verified(tmp_path / "s"), IDS, values)


READS: Iterable[Callable[[Store], Any]] = [
    lambda store: store["u1"],
    lambda store: store.read("u1", 2, 3),
    lambda store: store.read_batch(["u0", "u1"]),
]


@pytest.mark.parametrize("read", READS)
def test_every_way_to_read_looks_at_the_whole_utterance(
    read: Callable[[Store], Any], tmp_path: Path
) -> None:
    store = write(tmp_path / "s", dtype="float32")
    [info] = [one for one in store.shards if one.first_id <= "u1" <= one.last_id]
    path = tmp_path / "s" / info.name
    data = store["u1"].tobytes()
    read(store)
    flip(path, path.read_bytes().index(data) + len(data) - 1)
    with pytest.raises(StoreError, match=f"'u1' in shard {path}: expected the values that were"):
        read(store)


ASKS: Iterable[Callable[[Store], Any]] = [
    lambda store: list(store),
    lambda store: store.frame_counts,
    lambda store: "u1" in store,
    lambda store: store.input_digest("u1"),
    lambda store: store.num_frames("u1"),
]


@pytest.mark.parametrize("ask", ASKS)
def test_what_stands_around_values_is_looked_at_before_it_is_told(
    ask: Callable[[Store], Any], tmp_path: Path
) -> None:
    for info in write(tmp_path / "s", dtype="float32").shards:
        flip_in(tmp_path / "s" / info.name, "input_digests")
    store = open_verified(tmp_path / "s")
    for _ in range(2):  # nor is it found open by whoever asks again
        with pytest.raises(StoreError, match=r"expected digest .*verify --remove"):
            ask(store)


def test_it_pickles_as_what_it_is(tmp_path: Path) -> None:
    store = pickle.loads(pickle.dumps(write(tmp_path / "s", dtype="float32")))  # noqa: S301
    for info in store.shards:
        flip_in(tmp_path / "s" / info.name, "values")
    with pytest.raises(StoreError, match="expected the values that were written"):
        store[IDS[0]]


_CUT = """
import os, sys
from featbank.errors import StoreError
from featbank.store import open_verified
store = open_verified(sys.argv[1])
path = store.open_shard(0).path
os.truncate(path, 1 << 16)
try:
    store["long"]
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells before it sends a signal")
def test_values_that_the_disk_does_not_give_are_an_error_and_no_signal(tmp_path: Path) -> None:
    """As those of a bad sector: reading them through a map would be a SIGBUS."""
    with StoreWriter(tmp_path / "s", name="x", dtype="float32") as writer:
        writer.write("long", np.ones((40_000, 5), np.float32))
    said = subprocess.run(
        [sys.executable, "-c", _CUT, tmp_path / "s"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.startswith("utterance 'long' in shard ")
