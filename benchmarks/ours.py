"""featbank, through the two calls that its README shows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from benchmarks.contender import Contender, Keys, Read
from benchmarks.corpora import Row
from featbank.store import StoreWriter, open_store


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
