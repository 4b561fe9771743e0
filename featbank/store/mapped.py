"""Read one shard through a memory map, with no HDF5 handle left open: safe in threads and forks."""

from __future__ import annotations

import json
import mmap
from bisect import bisect_left
from collections.abc import Iterator
from math import prod
from pathlib import Path

import h5py
import numpy as np

from featbank.errors import StoreError
from featbank.store.format import (
    DIGEST_BYTES,
    SHARD_FORMAT,
    STORED_DTYPES,
    check_format,
    stored_dtype,
)
from featbank.store.shard import ShardSpec
from featbank.store.values import Array


class MappedShard:
    """One shard, read-only. HDF5 says once where each dataset lies; reads touch the map alone."""

    def __init__(self, path: str | Path, num_bytes: int | None = None) -> None:
        """Open a shard.

        Args:
            path: of the file.
            num_bytes: its size as the header states it, checked first.

        Raises:
            StoreError: missing, truncated, foreign, of a newer version, or damaged.
        """
        self.path = Path(path)
        try:
            with open(self.path, "rb") as file:
                size = file.seek(0, 2)
                if num_bytes is not None and size != num_bytes:
                    raise self._damaged(f"{num_bytes} bytes", f"{size} bytes")
                if size == 0:
                    raise self._damaged("an HDF5 file", "an empty file")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._damaged("a file", "nothing there") from error
        except IsADirectoryError as error:
            raise self._damaged("a file", "a folder") from error
        try:
            with h5py.File(self.path, "r", locking=False) as shard:
                self._read_layout(shard)
        except (
            OSError,
            KeyError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:  # what h5py raises
            raise self._damaged("a whole HDF5 shard", error) from error

    @property
    def num_frames(self) -> int:
        """Frames of all rows."""
        return len(self._values)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._starts) - 1

    def id(self, row: int) -> str:
        """Return the id of a row."""
        try:
            return self._id_bytes_of(row).decode()
        except UnicodeDecodeError as error:
            raise self._damaged(f"row {row}'s id in UTF-8", error) from error

    def ids(self) -> Iterator[str]:
        """Give the ids, sorted."""
        return (self.id(row) for row in range(len(self)))

    def find(self, utterance_id: str) -> int | None:
        """Return the row of an id, or None when it is not here."""
        key = utterance_id.encode(errors="surrogatepass")
        row = bisect_left(range(len(self)), key, key=self._id_bytes_of)
        return row if row < len(self) and self._id_bytes_of(row) == key else None

    def frames(self, row: int) -> range:
        """Return the frames of a row, as places in `values`."""
        start, stop = self._starts[row], self._starts[row + 1]
        if not 0 <= start <= stop <= len(self._values):
            raise self._damaged(
                f"row {row} within {len(self._values)} frames", f"frames {start} to {stop}"
            )
        return range(start, stop)

    def values(self, frames: range) -> Array:
        """Return the values of consecutive frames, (len(frames), *shape): a view, read-only."""
        return self._values[frames.start : frames.stop]

    def input_digest(self, row: int) -> bytes:
        """Return the 16-byte digest of a row's inputs; zeros when it was not stated."""
        return bytes(self._input_digests[row])

    def _id_bytes_of(self, row: int) -> bytes:
        start, stop = self._id_starts[row], self._id_starts[row + 1]
        return self._map[self._ids_at + start : self._ids_at + stop]

    def _read_layout(self, shard: h5py.File) -> None:
        attributes = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in shard.attrs.items()
        }
        check_format(attributes, SHARD_FORMAT, f"shard {self.path}")
        self._values = self._locate(shard["values"])
        offsets = self._locate(shard["offsets"], "int64", (None,))
        id_offsets = self._locate(shard["id_offsets"], "int64", offsets.shape)
        # memory views: a search takes many single numbers, which NumPy gives slowly
        self._starts, self._id_starts = offsets.data, id_offsets.data
        id_bytes = self._locate(shard["id_bytes"], "uint8", (None,))
        self._input_digests = self._locate(
            shard["input_digests"], "uint8", (len(self), DIGEST_BYTES)
        )
        self._ids_at: int = shard["id_bytes"].id.get_offset() or 0
        for name, starts, total in (
            ("offsets", self._starts, len(self._values)),
            ("id_offsets", self._id_starts, len(id_bytes)),
        ):
            if starts[0] != 0 or starts[-1] != total:
                raise self._damaged(f"{name} from 0 to {total}", f"{starts[0]} to {starts[-1]}")
        self.spec = ShardSpec(
            name=str(attributes["name"]),
            dtype=self._values.dtype.name,
            shape=self._values.shape[1:],
            fingerprint=str(attributes["fingerprint"]),
            numerics=json.loads(attributes["numerics"]),
        )

    def _locate(
        self,
        dataset: h5py.Dataset,
        dtype: str | None = None,
        shape: tuple[int | None, ...] | None = None,
    ) -> Array:
        """Return a dataset as a view of the map, checked to lie inside the file."""
        if not isinstance(dataset, h5py.Dataset):
            raise self._damaged("datasets only", "a group")
        name, found = dataset.name, dataset.shape
        if dataset.dtype.name not in ({dtype} if dtype else STORED_DTYPES):
            raise self._damaged(f"{name} of {dtype or 'a known dtype'}", dataset.dtype)
        stored = stored_dtype(dataset.dtype.name)
        if stored != dataset.dtype:
            raise self._damaged(f"{name} in little-endian order", dataset.dtype.str)
        if not found or not _fits(found, shape):
            raise self._damaged(f"{name} of shape {shape or '(num_frames, ...)'}", found)
        if prod(found) == 0:  # HDF5 gives an empty dataset no place in the file
            return np.empty(found, stored)
        start = dataset.id.get_offset()
        if start is None:
            raise self._damaged(f"{name} contiguous and uncompressed", "another storage")
        end = start + prod(found) * stored.itemsize
        if end > len(self._map):  # reading a map past its file is a SIGBUS
            raise self._damaged(f"{name} up to byte {end}", f"{len(self._map)} bytes")
        return np.frombuffer(self._map, stored, prod(found), start).reshape(found)

    def _damaged(self, expected: str, got: object) -> StoreError:
        return StoreError(
            f"shard {self.path}",
            expected=expected,
            got=got,
            hint="fetch it again with dvc pull, or run the stage that makes it",
        )


def _fits(found: tuple[int, ...], wanted: tuple[int | None, ...] | None) -> bool:
    """Tell whether a shape is the wanted one, None standing for any size and for any shape."""
    if wanted is None:
        return True
    return len(found) == len(wanted) and all(
        size is None or size == real for size, real in zip(wanted, found, strict=True)
    )
