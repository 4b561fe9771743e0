"""Small stores to be read from elsewhere, and what the tests share about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from featbank.store import Store, StoreWriter, open_store
from featbank.store.remote.client import Persistence
from featbank.store.remote.elsewhere import locate
from featbank.store.remote.store import RemoteStore
from tests.waiting import HANG_S

_STALLED_S = 2.0
"""After so long an answer of a server that stalls is given up; others are never late."""


def write_floats(path: Path, num_rows: int = 60, shard_bytes: int = 1 << 20) -> Store:
    """Write rows of 64 KiB to 128 KiB, in several shards, and one that is empty."""
    rng = np.random.default_rng(0)
    with StoreWriter(
        path, name="ssl", dtype="float16", frame_rate=50.0, shard_bytes=shard_bytes
    ) as writer:
        for number in range(num_rows):
            length = int(rng.integers(32, 64)) if number else 0
            writer.write(f"s{number % 5}/{number:03d}", rng.random((length, 1024), np.float32))
    return open_store(path)


def write_large_shard(path: Path, num_rows: int, row_bytes: int) -> Store:
    """Write rows of one size into one shard."""
    rng = np.random.default_rng(1)
    with StoreWriter(path, name="ssl", dtype="uint8", shard_bytes=1 << 30) as writer:
        for number in range(num_rows):
            writer.write(f"{number:05d}", rng.integers(0, 256, row_bytes, np.uint8))
    return open_store(path)


def write_tokens(path: Path, num_rows: int = 500) -> Store:
    """Write units of one shard."""
    rng = np.random.default_rng(2)
    with StoreWriter(path, name="units", codebook_size=500, frame_rate=50.0) as writer:
        for number in range(num_rows):
            writer.write(f"{number:05d}", rng.integers(0, 500, int(rng.integers(0, 90))))
    return open_store(path)


def open_hasty(
    url: str, cache_bytes: int | None = None, *, is_stalled: bool = False
) -> RemoteStore:
    """Open a store elsewhere, with few attempts, and little patience where a server stalls."""
    patience_s = _STALLED_S if is_stalled else HANG_S
    persistence = Persistence(attempts=3, timeout_s=patience_s, wait_s=0.001)
    return RemoteStore(locate(url), cache_bytes=cache_bytes, persistence=persistence)


def assert_same(found: Store, local: Store) -> None:
    """Hold all that a store gives against what it gives from this disk."""
    assert found.ids == local.ids
    assert found.header == local.header
    for one, values in zip(local.ids, found.read_many(local.ids), strict=True):
        np.testing.assert_array_equal(values, local[one], strict=True)
        assert not values.flags.writeable
    np.testing.assert_array_equal(found.frame_counts, local.frame_counts)
    some = local.ids[:: max(1, len(local) // 20)]
    for one, other in zip(found.read_batch(some), local.read_batch(some), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    for one in some:
        np.testing.assert_array_equal(found[one], local[one], strict=True)
        np.testing.assert_array_equal(found.read(one, 1, 3), local.read(one, 1, 3), strict=True)
        assert found.input_digest(one) == local.input_digest(one)
        assert found.num_frames(one) == local.num_frames(one)
