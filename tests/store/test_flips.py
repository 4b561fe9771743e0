"""A reader is served what was written, or an error, wherever beside values a bit has flipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.store import Store, StoreWriter, open_store

DIGEST = bytes(range(16))


def _write(path: Path, **options: Any) -> Store:
    rng = np.random.default_rng(0)
    is_tokens = "codebook_size" in options
    with StoreWriter(path, name="x", frame_rate=50.0, **options) as writer:
        for number in range(6):
            row = rng.integers(0, 99, 9) if is_tokens else rng.standard_normal((9, 4), np.float32)
            writer.write(f"u{number}", row, input_digest=DIGEST)
    return open_store(path)


def _answers(path: Path) -> list[object]:
    """Ask a store everything: ids, lookups, whole rows, pieces, lengths, digests."""
    store = open_store(path)
    found: list[object] = [list(store.ids), "u9" in store, store.frame_counts.tolist()]
    for number in range(6):
        name = f"u{number}"
        row = store[name]
        found += [name in store, row.shape, row.dtype, row.tobytes(), store.row_number(name)]
        found += [store.read(name, 2, 5).tobytes(), store.input_digest(name)]
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "int8_scaled"},
        {"codebook_size": 100},
        {"compression": "zstd"},
        {"dtype": "int8_scaled", "compression": "blosc"},
    ],
    ids=["float32", "int8_scaled", "tokens", "zstd", "int8_scaled-blosc"],
)
def test_no_flipped_bit_beside_the_values_is_served(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    store = _write(tmp_path / "s", **options)
    [info] = store.shards
    path, right = store.path / info.name, _answers(store.path)
    whole = path.read_bytes()
    num_bytes = sum(len(store.open_shard(0).stored(row).tobytes()) for row in range(6))
    values = range(info.values_start, info.values_start + (num_bytes if info.values_start else 0))
    places = [place for place in range(len(whole)) if place not in values]
    rng = np.random.default_rng(1)
    num_refused = 0
    for place in rng.choice(places, 120, replace=False):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path.unlink()  # maps of it stay good
        path.write_bytes(changed)
        try:
            assert _answers(store.path) == right, f"byte {place}"
        except StoreError:
            num_refused += 1
    assert num_refused == 120


def test_a_compressed_row_that_is_read_as_a_whole_is_held_against_its_checksum(
    tmp_path: Path,
) -> None:
    store = _write(tmp_path / "s", compression="zstd")
    [info] = store.shards
    path = store.path / info.name
    whole = path.read_bytes()
    wrong = 0
    right = [store[f"u{number}"].tobytes() for number in range(6)]
    for place in range(0, len(whole), 41):
        changed = bytearray(whole)
        changed[place] ^= 4
        path.unlink()
        path.write_bytes(changed)
        try:
            reopened = open_store(store.path)
            wrong += [reopened[f"u{number}"].tobytes() for number in range(6)] != right
        except StoreError:
            continue
    assert wrong == 0
