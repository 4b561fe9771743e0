"""An unfinished shard on disk: laid out from the lengths of its rows, filled in any order."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import accumulate, islice, pairwise
from math import fsum
from operator import lt
from pathlib import Path

import numpy as np

from featbank.errors import StoreError
from featbank.files.disk import fsync_file, fsync_folder, naming
from featbank.store.encoding import SCALES_DTYPE, Array, find_encoding
from featbank.store.format import DIGEST_BYTES, NO_DIGEST
from featbank.store.id_index import MAX_ROWS, build_slots
from featbank.store.outlet import Outlet
from featbank.store.own_process import OwnProcess
from featbank.store.platform import start_writeback
from featbank.store.raw_file import read_into, write_at
from featbank.store.shard_info import ShardInfo
from featbank.store.shard_layout import ShardSpec, compressed_image, compressed_step, lay_out

_BLOCK_BYTES = 1 << 24
LARGE_BYTES = 1 << 25
"""Of a shard's values: so many push more out of the cache of files than they are worth there."""


class ShardFile:
    """The file of one shard under a temporary name, which `finish` exchanges for its own.

    The columns of rows and ids are written at once, the values as they come, the rest at the end.
    """

    def __init__(
        self,
        path: Path,
        spec: ShardSpec,
        ids: Sequence[str],
        num_frames: Sequence[int],
        input_digests: Sequence[bytes],
        *,
        is_read_soon: bool = False,
    ) -> None:
        """Lay out the file.

        Args:
            path: of the finished shard; its folder exists.
            spec: what the rows have in common.
            ids: of the rows, rising.
            num_frames: of each row.
            input_digests: of each row, 16 bytes or none.
            is_read_soon: it is only on its way, and better left in the cache of files.

        Raises:
            StoreError: there are no rows, too many, or they are not in order.
        """
        _check_order(path, ids)
        self.path = path
        self._spec = spec
        self._ids = ids
        self.starts = [0, *accumulate(num_frames)]
        self._dtype = find_encoding(spec.dtype).stored
        self._owner = OwnProcess(f"shard {path}")
        columns = shard_columns(ids, self.starts, input_digests)
        layout = lay_out(spec, columns, self.starts[-1], len(ids))
        self._places = layout.places
        self._columns = columns if spec.compression is not None else {}
        # a name of its own, for two workers may be given one shard when the first seemed dead
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        self._is_named = False
        self._descriptor = _create(self._temporary)
        is_large = self.starts[-1] * spec.frame_bytes >= LARGE_BYTES
        self._outlet = (
            Outlet(self._descriptor)
            if is_large and not is_read_soon and spec.compression is None
            else None
        )
        try:
            with naming(self._temporary, "sizing"):
                os.ftruncate(self._descriptor, layout.num_bytes)
            write_at(self._descriptor, layout.head, 0)
        except BaseException:
            self.abort()
            raise

    def write(self, start: int, data: memoryview) -> None:
        """Write stored bytes of values.

        Args:
            start: where they belong, counted from the first byte of all values.
            data: of bytes.
        """
        self._owner.check()
        if self._outlet is None:
            write_at(self._descriptor, data, self._values_start + start)
        else:
            self._outlet.write(self._values_start + start, data)

    def write_through(self, start: int, data: memoryview) -> None:
        """Write stored bytes, many of them, and let the disk begin with them at once."""
        self.write(start, data)
        if self._outlet is None:
            start_writeback(self._descriptor, self._values_start + start, data.nbytes)

    def write_row(self, row: int, stored: Array) -> None:
        """Write the values of a row, (num_frames, *shape), as stored."""
        data = _raw(stored)
        self.write(self.starts[row] * self._spec.frame_bytes, data)

    def written(self, frames: range) -> Array:
        """Return frames that were written, (len(frames), *shape), as stored."""
        self._flush()
        start = self._values_start + frames.start * self._spec.frame_bytes
        data = np.empty(len(frames) * self._spec.frame_bytes, np.uint8)
        read_into(self._descriptor, data.data, start)
        return data.view(self._dtype).reshape(len(frames), *self._spec.shape)

    def finish(
        self,
        checksums: Sequence[int],
        scales: Array | None,
        max_errors: Sequence[float],
        sum_errors: Sequence[float],
        *,
        sync: bool = True,
    ) -> ShardInfo:
        """Write what is known only now, and give the shard its name.

        Args:
            checksums: XXH3-64 of the stored bytes of each row.
            scales: (num_rows, *shape) float32, where the encoding has them.
            max_errors: the greatest absolute error of each row.
            sum_errors: the sum of those of each row.
            sync: wait until the disk has it; without, `sync_files` must follow.

        Returns:
            What the header lists of it, with an empty part.
        """
        self._owner.check()
        self._flush()
        columns = {"checksums": np.array(checksums, "<u8")}
        if scales is not None:
            columns["scales"] = np.ascontiguousarray(scales, SCALES_DTYPE)
        if find_encoding(self._spec.dtype).rounds:
            columns["rounding_errors"] = np.column_stack((max_errors, sum_errors))
        values_start = self._values_start
        if self._spec.compression is not None and values_start:  # else there is not one value
            self._compress(columns)
            values_start = 0
        else:
            for name, data in columns.items():
                if data.size:
                    write_at(self._descriptor, _raw(data), self._places[name])
        if sync:
            fsync_file(self._descriptor, self._temporary)
        values_bytes = self.starts[-1] * self._spec.frame_bytes if values_start else 0
        info = ShardInfo(
            name=self.path.name,
            first_id=self._ids[0],
            last_id=self._ids[-1],
            num_utterances=len(self._ids),
            num_frames=self.starts[-1],
            num_bytes=self.num_bytes,
            values_start=values_start,
            digest=digest_around(self._descriptor, values_start, values_bytes),
            max_abs_error=max(max_errors),
            # the exactly rounded sum, which the order of the writes cannot change
            sum_abs_error=fsum(sum_errors),
        )
        self._temporary.replace(self.path)
        self._is_named = True
        if sync:
            fsync_folder(self.path.parent)
        return info

    def abort(self) -> None:
        """Drop the unfinished file; after `finish` only its descriptor is closed."""
        if self._descriptor >= 0:
            if self._outlet is not None:
                self._outlet.close()
            os.close(self._descriptor)
            self._descriptor = -1
            if self._owner.is_here and not self._is_named:
                self._temporary.unlink(missing_ok=True)

    @property
    def num_bytes(self) -> int:
        """Size of the file, which it has from the beginning where its values stay uncompressed."""
        return os.fstat(self._descriptor).st_size

    @property
    def _values_start(self) -> int:
        return self._places["values"]

    def _flush(self) -> None:
        if self._outlet is not None:
            self._outlet.flush()

    def _compress(self, columns: Mapping[str, Array]) -> None:
        """Exchange the file for one whose values are compressed."""
        num_frames = self.starts[-1]
        step = compressed_step(self._spec, num_frames)
        blocks = (
            self.written(range(start, min(start + step, num_frames)))
            for start in range(0, num_frames, step)
        )
        image = compressed_image(self._spec, {**self._columns, **columns}, num_frames, blocks)
        compressed = self._temporary.with_name(f"{self._temporary.name}.compressed")
        descriptor = _create(compressed)
        try:
            write_at(descriptor, image, 0)
            compressed.replace(self._temporary)
        except BaseException:
            os.close(descriptor)
            compressed.unlink(missing_ok=True)
            raise
        os.close(self._descriptor)
        self._descriptor = descriptor


def disk_fault(where: str, error: Exception) -> StoreError:
    """Return the error that says that a disk did not take, or give, what belongs to a store."""
    return StoreError(
        where,
        expected="a disk with room that works",
        got=error,
        hint="nothing was published; free some space and run again",
    )


def digest_around(descriptor: int, start: int, num_bytes: int) -> str:
    """Return the SHA-256 of an open file but `num_bytes` from `start` on, in hexadecimal."""
    size = os.fstat(descriptor).st_size
    digest = sha256()
    for block in (*_spans(0, start), *_spans(start + num_bytes, size)):
        buffer = bytearray(len(block))
        read_into(descriptor, memoryview(buffer), block.start)
        digest.update(buffer)
    return digest.hexdigest()


def sync_files(folder: Path, names: Sequence[str]) -> None:
    """Wait until the disk has some files of a folder."""
    for name in names:
        descriptor = os.open(folder / name, os.O_RDONLY)
        try:
            fsync_file(descriptor, folder / name)
        finally:
            os.close(descriptor)
    fsync_folder(folder)


def _spans(start: int, stop: int) -> Iterator[range]:
    for first in range(start, stop, _BLOCK_BYTES):
        yield range(first, min(first + _BLOCK_BYTES, stop))


def _check_order(path: Path, ids: Sequence[str]) -> None:
    if not 0 < len(ids) <= MAX_ROWS:
        raise StoreError(f"shard {path}", expected=f"1 to {MAX_ROWS} rows", got=len(ids))
    if all(map(lt, ids, islice(ids, 1, None))):
        return
    previous, following = next(pair for pair in pairwise(ids) if pair[0] >= pair[1])
    raise StoreError(f"shard {path}", expected=f"an id after {previous!r}", got=repr(following))


def shard_columns(
    ids: Sequence[str], starts: Sequence[int], input_digests: Sequence[bytes]
) -> dict[str, Array]:
    """Return what is known before any value is, by the name of its dataset."""
    keys = list(map(str.encode, ids))
    row_starts = np.empty((len(starts), 2), "<i8")
    row_starts[:, 0] = starts
    row_starts[:, 1] = [0, *accumulate(map(len, keys))]
    columns: dict[str, Array] = {
        "row_starts": row_starts,
        "id_bytes": np.frombuffer(b"".join(keys), np.uint8),
        "id_slots": build_slots(keys),
    }
    if any(input_digests):
        digests = b"".join(one or NO_DIGEST for one in input_digests)
        columns["input_digests"] = np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES)
    return columns


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def _raw(data: Array) -> memoryview:
    return data.reshape(-1).view(np.uint8).data
