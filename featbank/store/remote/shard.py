"""A shard elsewhere: its head on this disk, mapped as any shard, and its values by rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank import PROGRAM
from featbank.errors import StoreError
from featbank.store.encoding import Array
from featbank.store.header import StoreHeader
from featbank.store.mapped import MappedShard
from featbank.store.remote.rows import RowFetcher, RowKey
from featbank.store.shard_info import ShardInfo


class RemoteShard(MappedShard):
    """A shard whose values are fetched where they are asked for.

    All that stands before the values is a file on this disk, with a hole in their place, so that
    HDF5, and every reader of a shard, finds what it would find in the whole one. Values are copies,
    held against the checksums of their rows before anybody sees them.

    Args:
        head: path of that file.
        header: of the store.
        info: of the shard, as the header lists it.
        number: of the shard in the store.
        name: of its file, below the store.
        fetcher: of rows.
        where: it lies, for errors.
    """

    def __init__(
        self,
        head: Path,
        header: StoreHeader,
        info: ShardInfo,
        number: int,
        name: str,
        fetcher: RowFetcher,
        where: str,
    ) -> None:
        super().__init__(head, info.num_bytes, where)
        self.info = info
        self.name = name
        self.number = number
        self._row_bytes_before = self.frame_starts * header.frame_bytes
        shape, dtype = self._values.shape, self._encoding.stored
        self._values: Any = _RemoteValues(self, fetcher, shape, dtype)

    @property
    def row_bytes_before(self) -> npt.NDArray[np.int64]:
        """First byte of each row in the values, then the total: (num_rows + 1,)."""
        return self._row_bytes_before

    def key(self, row: int) -> RowKey:
        """Return the key of a row, which no other row of the store has."""
        return RowKey(self.number, row)

    def decoded(self, row: int, data: memoryview) -> Array:
        """Return all frames of a row as `read` does, of its bytes as they are stored."""
        stored = np.frombuffer(data, self._encoding.stored)
        stored = stored.reshape(len(self.frames(row)), *self._values.shape[1:])
        if self._plain:
            # a row that is kept must not keep its neighbours
            if isinstance(data.obj, bytes) and len(data.obj) > len(data):
                stored = stored.copy()
            stored.flags.writeable = False
            return stored
        return self._decode(stored, self.scale(row))

    def damaged(self, expected: str, got: object) -> StoreError:
        """Return the error that says what is wrong with the shard."""
        return StoreError(
            self.where,
            expected=expected,
            got=got,
            hint=f"verify the store where it lies, or fetch it and run {PROGRAM} verify",
        )


class _RemoteValues:
    """The values of a shard: slices of frames, as stored, each fetched with its whole rows."""

    def __init__(
        self, shard: RemoteShard, fetcher: RowFetcher, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._shard = shard
        self._fetcher = fetcher
        self.shape = shape
        self.dtype = dtype

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.shape[0]

    def __getitem__(self, frames: slice) -> Array:
        start, stop, _ = frames.indices(len(self))
        starts = self._shard.frame_starts
        values: Array = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        for row, data in self._fetched(_rows_of(starts, start, stop)):
            first, last = int(starts[row]), int(starts[row + 1])
            whole = np.frombuffer(data, self.dtype).reshape(last - first, *self.shape[1:])
            left, right = max(start, first), min(stop, last)
            values[left - start : right - start] = whole[left - first : right - first]
        values.flags.writeable = False
        return values

    def _fetched(self, rows: range) -> Iterable[tuple[int, memoryview]]:
        return zip(rows, self._fetcher.fetch([(self._shard, row) for row in rows]), strict=True)


def _rows_of(starts: npt.NDArray[np.int64], start: int, stop: int) -> range:
    """Return the rows that have frames from `start` up to `stop`."""
    if start >= stop:
        return range(0)
    first = int(np.searchsorted(starts, start, "right")) - 1
    return range(first, int(np.searchsorted(starts, stop, "left")))
