"""Write one row of a shard piece by piece, as the bytes that one whole write gives."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from xxhash import xxh3_64

from featbank.errors import StoreError
from featbank.store.encoding import SCALES_DTYPE, Array, Encoding, ScaledInt8
from featbank.store.narrowing import RoundingErrors
from featbank.store.raw_file import ScratchFile
from featbank.store.shard_file import ShardFile

_BLOCK_BYTES = 1 << 22


class WrittenRow(NamedTuple):
    """What a shard keeps of a row besides its values.

    Args:
        checksum: XXH3-64 of the stored bytes.
        scale: its bytes where the encoding has one, else none.
        max_abs_error: of a value, on the way to the store and back.
        sum_abs_error: over all values.
    """

    checksum: int
    scale: bytes
    max_abs_error: float
    sum_abs_error: float


class RowPieces:
    """Takes the frames of one row as they come and writes them to their place in the shard.

    A scale of the whole row needs its last frame before its first can be stored: then the pieces
    wait in an unnamed file beside the shard.
    """

    def __init__(
        self,
        file: ShardFile,
        row: int,
        num_frames: int,
        shape: tuple[int, ...],
        encoding: Encoding,
        where: str,
    ) -> None:
        self.num_frames = num_frames
        self.num_taken = 0
        self._file = file
        self._shape = shape
        self._encoding = encoding
        self._where = where
        self._start = file.starts[row] * encoding.stored.itemsize * prod(shape)
        self._checksum = xxh3_64()
        self._errors = RoundingErrors()
        self._waiting = (
            _Waiting(encoding, shape, file.path.parent)
            if isinstance(encoding, ScaledInt8)
            else None
        )

    def take(self, array: Array) -> None:
        """Take the next frames (n, *shape).

        Raises:
            StoreError: they are of another shape, too many, or nothing that the dtype can hold.
        """
        if array.shape[1:] != self._shape:
            raise StoreError(
                self._where, expected=f"frames of shape {self._shape}", got=array.shape[1:]
            )
        if self.num_taken + len(array) > self.num_frames:
            raise StoreError(
                self._where,
                expected=f"{self.num_frames} frames",
                got=f"{self.num_taken} and {len(array)} more",
            )
        if self._waiting:
            self._waiting.put(array, self._where)
        else:
            self._store(array)
        self.num_taken += len(array)

    def finish(self) -> WrittenRow:
        """Write what waited for the last frame; all frames were taken."""
        assert self.num_taken == self.num_frames
        scale = b""
        if self._waiting:
            row_scale = self._waiting.scale(self._where)
            for array in self._waiting.read():
                self._store(array, row_scale)
            scale = row_scale.tobytes()
            self.close()
        return WrittenRow(
            self._checksum.intdigest(), scale, self._errors.greatest, self._errors.total
        )

    def close(self) -> None:
        """Drop what waits."""
        if self._waiting:
            self._waiting.close()

    def _store(self, array: Array, scale: Array | None = None) -> None:
        stored = self._encoding.narrow(array, self._where, self._errors, scale)
        data = stored.reshape(-1).view(np.uint8).data
        self._file.write(self._start, data)
        self._start += data.nbytes
        self._checksum.update(data)


class _Waiting:
    """Frames of one row that wait in a file for the scale of all of them."""

    def __init__(self, encoding: ScaledInt8, shape: tuple[int, ...], folder: Path) -> None:
        self._encoding = encoding
        self._shape = shape
        self._file = ScratchFile(folder)
        self._peak = np.zeros(shape, SCALES_DTYPE)
        self._dtype: np.dtype[Any] | None = None

    def put(self, array: Array, where: str) -> None:
        peak = self._encoding.peak(array, where)
        if self._dtype not in (None, array.dtype):
            raise StoreError(where, expected=f"all of it in {self._dtype}", got=array.dtype)
        self._dtype = array.dtype
        self._peak = np.maximum(self._peak, peak)
        self._file.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def scale(self, where: str) -> Array:
        return self._encoding.scale(self._peak, where)

    def read(self) -> Iterator[Array]:
        """Give all frames back, block by block."""
        assert self._dtype is not None
        frame_bytes = self._dtype.itemsize * prod(self._shape)
        self._file.flush()
        step = frame_bytes * max(1, _BLOCK_BYTES // max(1, frame_bytes))
        for start in range(0, self._file.size, max(1, step)):
            data = np.empty(min(step, self._file.size - start), np.uint8)
            self._file.read_into(data.data, start)
            yield data.view(self._dtype).reshape(-1, *self._shape)

    def close(self) -> None:
        self._file.close()
