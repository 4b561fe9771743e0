"""Rows that wait in memory for their shard: a column for each property, and their stored bytes."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from featbank.store.blocks import BLOCK_BYTES, give_block, take_block
from featbank.store.encoding import SCALES_DTYPE, Encoded
from featbank.store.shard_file import ShardFile
from featbank.store.shard_info import ShardInfo
from featbank.store.shard_layout import ShardSpec

_ENOUGH_BYTES = 1 << 18  # for a block of their own: giving one back costs more than a small copy


class Columns:
    """One entry a row in each column; no object a row, of which ten million are slow and large."""

    __slots__ = ("checksums", "ids", "input_digests", "max_errors", "num_frames", "sum_errors")

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.num_frames = array("q")
        self.input_digests: list[bytes] = []
        self.checksums = array("Q")
        self.max_errors = array("d")
        self.sum_errors = array("d")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def append(self, utterance_id: str, input_digest: bytes, encoded: Encoded) -> None:
        """Add a row, but for its checksum."""
        self.ids.append(utterance_id)
        self.num_frames.append(len(encoded.stored))
        self.input_digests.append(input_digest)
        self.max_errors.append(encoded.max_abs_error)
        self.sum_errors.append(encoded.sum_abs_error)

    def extend(self, other: Columns) -> None:
        """Add the rows of others."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(other, name))

    def take(self, num_rows: int) -> Columns:
        """Remove the first rows, and return them."""
        taken = Columns()
        for name in self.__slots__:
            column = getattr(self, name)
            getattr(taken, name).extend(column[:num_rows])
            del column[:num_rows]
        return taken

    def pick(self, rows: Sequence[int]) -> Self:
        """Return some rows, in the order asked for."""
        picked = type(self)()
        for name in self.__slots__:
            column = getattr(self, name)
            getattr(picked, name).extend([column[row] for row in rows])
        return picked


class Taken:
    """Bytes in blocks that are given back one by one, as they are used."""

    def __init__(self, pieces: Sequence[tuple[npt.NDArray[np.uint8] | None, memoryview]]) -> None:
        """Take pieces, each with the block to give back, if it lies in one."""
        self._pieces = deque(pieces)

    def __iter__(self) -> Iterator[memoryview]:
        """Give the bytes in pieces, each good until the next is asked for."""
        while self._pieces:
            block, piece = self._pieces.popleft()
            yield piece
            if block is not None:
                give_block(block)


class ByteQueue:
    """First in, first out. A growing `bytearray` would move, and fault in its pages anew."""

    def __init__(self) -> None:
        self._blocks: deque[npt.NDArray[np.uint8]] = deque()
        self._start = 0  # in the first block
        self._size = 0

    def __len__(self) -> int:
        """Return the number of bytes."""
        return self._size

    def append(self, data: npt.NDArray[np.uint8]) -> None:
        """Add bytes at the end, copied."""
        done, size = 0, len(data)
        while done < size:
            at = (self._start + self._size) % BLOCK_BYTES
            if self._start + self._size == len(self._blocks) * BLOCK_BYTES:
                self._blocks.append(take_block())
            count = min(size - done, BLOCK_BYTES - at)
            self._blocks[-1][at : at + count] = data[done : done + count]
            done += count
            self._size += count

    def take(self, num_bytes: int) -> Taken:
        """Remove the first bytes, and hand their blocks on.

        The block that also holds what follows stays here, and what is taken of it is copied.
        """
        pieces: list[tuple[npt.NDArray[np.uint8] | None, memoryview]] = []
        while num_bytes:
            count = min(num_bytes, BLOCK_BYTES - self._start, self._size)
            block = self._blocks[0]
            view = block[self._start : self._start + count]
            if self._start + count == BLOCK_BYTES:
                pieces.append((self._blocks.popleft(), view.data))
                self._start = 0
            elif count < _ENOUGH_BYTES:
                pieces.append((None, view.copy().data))
                self._start += count
            else:
                own = take_block()
                own[:count] = view
                pieces.append((own, own[:count].data))
                self._start += count
            self._size -= count
            num_bytes -= count
        return Taken(pieces)

    def close(self) -> None:
        """Drop all bytes."""
        while self._blocks:
            give_block(self._blocks.popleft())
        self._start = self._size = 0


def write_shard(
    path: Path, spec: ShardSpec, rows: Columns, values: Iterable[memoryview], scales: bytes
) -> ShardInfo:
    """Write one shard whose values are at hand; `sync_files` must follow.

    Args:
        path: of the shard.
        spec: what the rows have in common.
        rows: all of one part, ids rising.
        values: the stored bytes of all rows, one after the other, cut anywhere.
        scales: the scales of all rows where the dtype has them.
    """
    file = ShardFile(path, spec, rows.ids, rows.num_frames, rows.input_digests)
    try:
        written = 0
        for piece in values:
            file.write_through(written, piece)
            written += piece.nbytes
        return file.finish(
            rows.checksums,
            np.frombuffer(scales, SCALES_DTYPE).reshape(-1, *spec.shape) if scales else None,
            rows.max_errors,
            rows.sum_errors,
            sync=False,
        )
    finally:
        file.abort()
