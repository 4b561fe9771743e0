"""The floor: the least that can be done to store rows and read them by id.

One flat file of values, an array of offsets, the ids as lines of text; a read looks up the id in a
dict and slices a `numpy.memmap`. A write computes the XXH3-64 of every row, as featbank does, keeps
these too, and waits until the disk has everything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from benchmarks.contender import Contender, Keys, Read
from benchmarks.corpora import Array, Row


class FlatFile(Contender):
    name = "floor"

    def write(self, folder: Path, rows: Iterable[Row]) -> Keys:
        ids, lengths, digests = [], [], []
        values_path = folder / "values.bin"
        with open(values_path, "wb", buffering=1 << 20) as file:
            for key, values in rows:
                ids.append(key)
                lengths.append(len(values))
                digests.append(xxh3_64_intdigest(values.data))
                file.write(values.data)
        np.save(folder / "like.npy", np.empty((0, *values.shape[1:]), values.dtype))
        np.save(folder / "offsets.npy", np.array([0, *accumulate(lengths)], np.int64))
        np.save(folder / "digests.npy", np.array(digests, np.uint64))
        (folder / "ids.txt").write_text("\n".join(ids))
        for path in (*folder.iterdir(), folder):
            _fsync(path)
        return {}

    def reader(self, folder: Path, keys: Keys) -> Read:  # noqa: ARG002
        like = np.load(folder / "like.npy")
        values = np.memmap(folder / "values.bin", like.dtype, "r").reshape(-1, *like.shape[1:])
        offsets = np.load(folder / "offsets.npy")
        ids = (folder / "ids.txt").read_text().split("\n")
        rows = {key: row for row, key in enumerate(ids)}

        def read(key: str, left: int = 0, right: int | None = None) -> Array:
            row = rows[key]
            start = offsets[row]
            stop = offsets[row + 1] if right is None else start + right
            return values[start + left : stop]

        return read


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
