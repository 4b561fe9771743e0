"""featbank, through the two calls that its README shows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from benchmarks.contender import Contender, Keys, Read
from benchmarks.corpora import Row
from featbank.store import ShardRow, ShardSpec, ShardWriter, StoreWriter, open_store

_ROWS = 160  # of a shard: about the 256 MB that stores have


class Featbank(Contender):
    name = "featbank"

    def write(self, folder: Path, rows: Iterable[Row]) -> Keys:
        rows = iter(rows)
        first = next(rows)
        dtype = first[1].dtype.name
        with StoreWriter(folder / "store", name="features", dtype=dtype, frame_rate=50.0) as writer:
            for key, values in chain([first], rows):
                writer.write(key, values)
        return {}

    def reader(self, folder: Path, keys: Keys) -> Read:  # noqa: ARG002
        return open_store(folder / "store").read


class Shards(Contender):
    """Shards whose rows are known before their values, as the stages write them."""

    name = "featbank shards"

    def write(self, folder: Path, rows: Iterable[Row]) -> Keys:
        rows = list(rows)
        for start in range(0, len(rows), _ROWS):
            of_shard = rows[start : start + _ROWS]
            values = of_shard[0][1]
            spec = ShardSpec(
                name="features",
                dtype=values.dtype.name,
                shape=values.shape[1:],
                fingerprint="",
                numerics={},
            )
            laid_out = [ShardRow(id=key, num_frames=len(values)) for key, values in of_shard]
            writer = ShardWriter(folder / f"{start:016x}.h5", spec, laid_out)
            for key, values in of_shard:
                writer.write(key, values)
            writer.close()
        return {}

    def reader(self, folder: Path, keys: Keys) -> Read:
        raise NotImplementedError("shards are read as stores")
