"""An unfinished shard on disk: laid out from the lengths of its rows, filled in any order."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, islice, pairwise
from math import fsum, prod
from operator import lt
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featbank.disk import fsync_folder
from featbank.errors import StoreError
from featbank.provenance import canonical_json
from featbank.store.compression import chunked, transfer
from featbank.store.encoding import ERRORS_DTYPE, SCALES_DTYPE, Array, find_encoding
from featbank.store.format import ALIGNMENT, DIGEST_BYTES, FORMAT_VERSION, NO_DIGEST, SHARD_FORMAT
from featbank.store.id_index import MAX_ROWS, build_slots
from featbank.store.layout import ShardInfo
from featbank.store.writeback import start_writeback

_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpec:
    """What all the rows of a shard have in common.

    Args:
        name: of the feature.
        dtype: that is stored: a NumPy name, `bfloat16` or `int8_scaled`.
        shape: of one frame.
        fingerprint: of the store.
        numerics: the class of machine that computed the values, as JSON values.
        compression: of the values: `zstd`, `blosc` or None.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    fingerprint: str
    numerics: Mapping[str, Any]
    compression: str | None = None


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
    ) -> None:
        """Lay out the file.

        Args:
            path: of the finished shard; its folder exists.
            spec: what the rows have in common.
            ids: of the rows, rising.
            num_frames: of each row.
            input_digests: of each row, 16 bytes or none.

        Raises:
            StoreError: there are no rows, too many, or they are not in order.
        """
        _check_order(path, ids)
        self.path = path
        self._spec = spec
        self._ids = ids
        self.starts = [0, *accumulate(num_frames)]
        self._dtype = find_encoding(spec.dtype).stored
        self._frame_bytes = self._dtype.itemsize * prod(spec.shape)
        # a name of its own, for two workers may be given one shard when the first seemed dead
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        try:
            columns = _columns(self._ids, self.starts, input_digests)
            self._places = _lay_out(self._temporary, spec, columns, self.starts[-1], len(ids))
            self._descriptor = os.open(self._temporary, os.O_RDWR)
        except BaseException as error:
            self._temporary.unlink(missing_ok=True)
            if isinstance(error, RuntimeError):  # how h5py puts a write that failed
                raise OSError(f"{path}: {error}") from error
            raise

    def write(self, start: int, data: memoryview) -> None:
        """Write stored bytes of values.

        Args:
            start: where they belong, counted from the first byte of all values.
            data: of bytes.
        """
        _write_at(self._descriptor, data, self._values_start + start)

    def write_through(self, start: int, data: memoryview) -> None:
        """Write stored bytes, many of them, and let the disk begin with them at once."""
        self.write(start, data)
        start_writeback(self._descriptor, self._values_start + start, data.nbytes)

    def write_row(self, row: int, stored: Array) -> None:
        """Write the values of a row, (num_frames, *shape), as stored."""
        data = stored.reshape(-1).view(np.uint8).data
        self.write(self.starts[row] * self._frame_bytes, data)

    def written(self, frames: range) -> Array:
        """Return frames that were written, (len(frames), *shape), as stored."""
        start = self._values_start + frames.start * self._frame_bytes
        data = np.empty(len(frames) * self._frame_bytes, np.uint8)
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
        self._fill("checksums", np.array(checksums, "<u8"))
        if scales is not None:
            self._fill("scales", np.ascontiguousarray(scales, SCALES_DTYPE))
        if find_encoding(self._spec.dtype).rounds:
            self._fill("rounding_errors", np.column_stack((max_errors, sum_errors)))
        values_start = self._values_start
        if self._spec.compression is not None and values_start:  # else there is not one value
            self._compress()
            values_start = 0
        if sync:
            os.fsync(self._descriptor)
        values_bytes = self.starts[-1] * self._frame_bytes if values_start else 0
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
        if sync:
            fsync_folder(self.path.parent)
        return info

    def abort(self) -> None:
        """Drop the unfinished file; after `finish` only its descriptor is closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._temporary.unlink(missing_ok=True)

    @property
    def num_bytes(self) -> int:
        """Size of the file, which it has from the beginning where its values stay uncompressed."""
        return os.fstat(self._descriptor).st_size

    @property
    def _values_start(self) -> int:
        return self._places["values"]

    def _fill(self, name: str, data: Array) -> None:
        if data.size:
            _write_at(self._descriptor, data.reshape(-1).view(np.uint8).data, self._places[name])

    def _compress(self) -> None:
        """Exchange the file for one whose values are compressed, block by block, in order.

        Only now, for the bytes of chunks that are filled piece by piece depend on the pieces. HDF5
        makes the file in memory: where a disk is full, closing one that it writes itself may crash.
        """
        compressed = self._temporary.with_name(f"{self._temporary.name}.compressed")
        try:
            with h5py.File(self._temporary, "r", locking=False) as plain:
                columns = {name: plain[name][:] for name in plain if name != "values"}
            num_frames = self.starts[-1]
            in_memory = {"driver": "core", "backing_store": False, "block_size": _BLOCK_BYTES}
            with _create(compressed, self._spec, columns, **in_memory) as file:
                shape = (num_frames, *self._spec.shape)
                options = chunked(str(self._spec.compression), shape, self._dtype.itemsize)
                values = _create_values(file, self._spec, num_frames, **options)
                chunk = values.chunks[0]
                step = chunk * max(1, _BLOCK_BYTES // (chunk * self._frame_bytes))
                for start in range(0, num_frames, step):
                    frames = range(start, min(start + step, num_frames))
                    transfer(values, "write", start, self.written(frames))
                file.flush()
                compressed.write_bytes(file.id.get_file_image())
            compressed.replace(self._temporary)
        except BaseException as error:
            compressed.unlink(missing_ok=True)
            if isinstance(error, RuntimeError):
                raise OSError(f"{self.path}: {error}") from error
            raise
        os.close(self._descriptor)
        self._descriptor = -1
        self._descriptor = os.open(self._temporary, os.O_RDWR)


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
    for block in (*_blocks(0, start), *_blocks(start + num_bytes, size)):
        buffer = bytearray(len(block))
        read_into(descriptor, memoryview(buffer), block.start)
        digest.update(buffer)
    return digest.hexdigest()


def sync_files(folder: Path, names: Sequence[str]) -> None:
    """Wait until the disk has some files of a folder."""
    for name in names:
        descriptor = os.open(folder / name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    fsync_folder(folder)


def _blocks(start: int, stop: int) -> Iterator[range]:
    for first in range(start, stop, _BLOCK_BYTES):
        yield range(first, min(first + _BLOCK_BYTES, stop))


def _check_order(path: Path, ids: Sequence[str]) -> None:
    if not 0 < len(ids) <= MAX_ROWS:
        raise StoreError(f"shard {path}", expected=f"1 to {MAX_ROWS} rows", got=len(ids))
    if all(map(lt, ids, islice(ids, 1, None))):
        return
    previous, following = next(pair for pair in pairwise(ids) if pair[0] >= pair[1])
    raise StoreError(f"shard {path}", expected=f"an id after {previous!r}", got=repr(following))


def _columns(
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


def _lay_out(
    path: Path, spec: ShardSpec, columns: Mapping[str, Array], num_frames: int, num_rows: int
) -> dict[str, int]:
    """Create the file with room for everything; return the bytes at which what is open begins."""
    # contiguous storage reserved at once and never filled: the layout follows from the rows alone
    reserved = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    reserved.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    reserved.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with _create(path, spec, columns) as file:
        opened = {
            "checksums": file.create_dataset(
                "checksums", (num_rows,), "<u8", dcpl=reserved, track_times=False
            )
        }
        if find_encoding(spec.dtype).has_scale:
            opened["scales"] = file.create_dataset(
                "scales", (num_rows, *spec.shape), SCALES_DTYPE, dcpl=reserved, track_times=False
            )
        if find_encoding(spec.dtype).rounds:
            opened["rounding_errors"] = file.create_dataset(
                "rounding_errors", (num_rows, 2), ERRORS_DTYPE, dcpl=reserved, track_times=False
            )
        opened["values"] = _create_values(file, spec, num_frames, dcpl=reserved)
        # None for a dataset without a value: there is nothing to write then
        return {name: dataset.id.get_offset() or 0 for name, dataset in opened.items()}


def _create(path: Path, spec: ShardSpec, columns: Mapping[str, Array], **options: Any) -> h5py.File:
    attributes = {
        "format": SHARD_FORMAT,
        "name": spec.name,
        "dtype": spec.dtype,
        "fingerprint": spec.fingerprint,
        "numerics": canonical_json(spec.numerics),
        **({"compression": spec.compression} if spec.compression else {}),
    }
    aligned = {"alignment_threshold": 1, "alignment_interval": ALIGNMENT}
    file = h5py.File(path, "w-", track_order=False, locking=False, **aligned, **options)
    try:
        file.attrs["format_version"] = FORMAT_VERSION
        for name, text in attributes.items():
            # of fixed length: HDF5 may loop for ever on a damaged heap of variable-length strings
            encoded = text.encode()
            fixed = h5py.string_dtype("utf-8", max(1, len(encoded)))
            file.attrs.create(name, np.array(encoded, fixed))
        for name, data in columns.items():
            file.create_dataset(name, data=data, track_times=False)
    except BaseException:
        file.close()
        raise
    return file


def _create_values(
    file: h5py.File, spec: ShardSpec, num_frames: int, **options: Any
) -> h5py.Dataset:
    kind = find_encoding(spec.dtype).hdf5_type
    shape = (num_frames, *spec.shape)
    return file.create_dataset("values", shape, kind, track_times=False, **options)


def _write_at(descriptor: int, data: memoryview, start: int) -> None:
    written = 0
    while written < len(data):  # one call takes at most 2 GiB
        written += os.pwrite(descriptor, data[written:], start + written)


def read_into(descriptor: int, buffer: memoryview, start: int) -> None:
    """Fill a buffer with the bytes of an open file from `start` on.

    Raises:
        StoreError: the file ends before.
    """
    read = 0
    while read < len(buffer):
        count = os.preadv(descriptor, [buffer[read:]], start + read)
        if not count:
            raise StoreError(f"byte {start + read}", expected="more of the file", got="its end")
        read += count
