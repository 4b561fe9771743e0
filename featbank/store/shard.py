"""Write one shard: laid out from the row lengths first, then filled as values arrive."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featbank.errors import StoreError
from featbank.manifest import check_id
from featbank.provenance import canonical_json, file_sha256, fsync_folder
from featbank.store.format import (
    ALIGNMENT,
    DIGEST_BYTES,
    FORMAT_VERSION,
    NO_DIGEST,
    SHARD_FORMAT,
    stored_dtype,
)
from featbank.store.layout import ShardInfo
from featbank.store.values import Array, convert_values


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpec:
    """What all the rows of a shard have in common.

    Args:
        name: of the feature.
        dtype: NumPy name of the stored dtype.
        shape: of one frame.
        fingerprint: of the store.
        numerics: the class of machine that computed the values, as JSON values.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    fingerprint: str
    numerics: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRow:
    """One row before its values exist.

    Args:
        id: of the utterance.
        num_frames: T, which may be 0.
        input_digest: 16 bytes, or none when it is not stated.
    """

    id: str
    num_frames: int
    input_digest: bytes = b""

    def __post_init__(self) -> None:
        check_id(self.id, StoreError)
        if self.num_frames < 0:
            raise StoreError(f"row {self.id!r}", expected="0 frames or more", got=self.num_frames)
        if len(self.input_digest) not in (0, DIGEST_BYTES):
            raise StoreError(
                f"input digest of {self.id!r}",
                expected=f"{DIGEST_BYTES} bytes or none",
                got=f"{len(self.input_digest)} bytes",
            )


class ShardWriter:
    """Writes one shard; rows come in any order, and memory holds one of them at a time.

    The file takes its name only when it is whole: `close` syncs and renames it.
    """

    def __init__(self, path: str | Path, spec: ShardSpec, rows: Sequence[ShardRow]) -> None:
        """Lay out the file.

        Args:
            path: of the finished shard; its folder exists.
            spec: what the rows have in common.
            rows: at least one, sorted by id.

        Raises:
            StoreError: there are no rows, or they are not in order.
        """
        self.path = Path(path)
        self._spec = spec
        self._rows = tuple(rows)
        self._check_order()
        self._dtype = stored_dtype(spec.dtype)
        self._frame_bytes = self._dtype.itemsize * prod(spec.shape)
        self._starts = [0, *accumulate(row.num_frames for row in self._rows)]
        self._index = {row.id: index for index, row in enumerate(self._rows)}
        self._unwritten = set(self._index)
        self._discarded: set[str] = set()
        # a name of its own, for two workers may be given one shard when the first seemed dead
        self._temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.partial")
        try:
            self._values_at = _lay_out(self._temporary, spec, self._rows, self._starts)
            self._descriptor = os.open(self._temporary, os.O_RDWR)
        except BaseException:
            self._temporary.unlink(missing_ok=True)
            raise

    def write(self, utterance_id: str, values: Any) -> None:
        """Write the values of one row.

        Args:
            utterance_id: of one of the rows.
            values: (num_frames, *shape), a NumPy array or a torch tensor on the CPU.

        Raises:
            StoreError: the id is unknown, written or discarded already, the shape is not the
                planned one, or the dtype cannot hold the values.
        """
        where = f"utterance {utterance_id!r} in shard {self.path}"
        index = self._row_index(utterance_id, where)
        if utterance_id not in self._unwritten:
            raise StoreError(where, expected="one write", got="a second one")
        array = convert_values(values, self._dtype, where)
        expected = (self._rows[index].num_frames, *self._spec.shape)
        if array.shape != expected:
            raise StoreError(where, expected=f"shape {expected}", got=array.shape)
        start = self._values_at + self._starts[index] * self._frame_bytes
        _write_at(self._descriptor, array.reshape(-1).view(np.uint8).data, start)
        self._unwritten.remove(utterance_id)

    def discard(self, utterance_id: str) -> None:
        """Take out a row that failed: the finished shard is as if it had never been planned.

        Raises:
            StoreError: the id is unknown, or discarded already.
        """
        self._row_index(utterance_id, f"utterance {utterance_id!r} in shard {self.path}")
        self._discarded.add(utterance_id)
        self._unwritten.discard(utterance_id)

    def close(self) -> ShardInfo | None:
        """Finish the shard under its own name.

        Returns:
            What the header lists of it, with an empty part; None when every row was discarded, for
            then there is no shard.

        Raises:
            StoreError: some rows were neither written nor discarded. Nothing is left on disk.
        """
        try:
            if self._unwritten:
                raise StoreError(
                    f"shard {self.path}",
                    expected=f"all of its {len(self._rows)} rows",
                    got=f"{len(self._unwritten)} unwritten, first {min(self._unwritten)!r}",
                )
            return self._without_discarded() if self._discarded else self._publish()
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the unfinished file; after `close` there is none, and nothing happens."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._temporary.unlink(missing_ok=True)

    def _check_order(self) -> None:
        if not self._rows:
            raise StoreError(f"shard {self.path}", expected="at least one row", got="none")
        for previous, row in pairwise(self._rows):
            if row.id <= previous.id:
                raise StoreError(
                    f"shard {self.path}", expected=f"an id after {previous.id!r}", got=repr(row.id)
                )

    def _row_index(self, utterance_id: str, where: str) -> int:
        if utterance_id not in self._index:
            raise StoreError(where, expected="an id of its plan", got="an unknown one")
        if utterance_id in self._discarded:
            raise StoreError(where, expected="a row that is still there", got="a discarded one")
        return self._index[utterance_id]

    def _publish(self) -> ShardInfo:
        os.fsync(self._descriptor)
        info = ShardInfo(
            name=self.path.name,
            first_id=self._rows[0].id,
            num_utterances=len(self._rows),
            num_frames=self._starts[-1],
            num_bytes=os.fstat(self._descriptor).st_size,
            sha256=file_sha256(self._temporary),
        )
        self._temporary.replace(self.path)
        fsync_folder(self.path.parent)
        return info

    def _without_discarded(self) -> ShardInfo | None:
        kept = [row for row in self._rows if row.id not in self._discarded]
        if not kept:
            return None
        rest = ShardWriter(self.path, self._spec, kept)
        try:
            written = self._mapped_values()
            for row in kept:
                index = self._index[row.id]
                rest.write(row.id, written[self._starts[index] : self._starts[index + 1]])
            return rest.close()
        finally:
            rest.abort()

    def _mapped_values(self) -> Array:
        shape = (self._starts[-1], *self._spec.shape)
        if prod(shape) == 0:
            return np.empty(shape, self._dtype)
        return np.memmap(self._temporary, self._dtype, "r", self._values_at, shape)


def _lay_out(path: Path, spec: ShardSpec, rows: Sequence[ShardRow], starts: list[int]) -> int:
    """Create the file with everything but the values; return the byte at which they begin."""
    ids = [row.id.encode() for row in rows]
    digests = b"".join(row.input_digest or NO_DIGEST for row in rows)
    datasets = {
        "offsets": np.array(starts, "<i8"),
        "id_offsets": np.array([0, *accumulate(map(len, ids))], "<i8"),
        "id_bytes": np.frombuffer(b"".join(ids), np.uint8),
        "input_digests": np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES),
    }
    attributes = {
        "format": SHARD_FORMAT,
        "name": spec.name,
        "fingerprint": spec.fingerprint,
        "numerics": canonical_json(spec.numerics),
    }
    # contiguous storage reserved at once and never filled: the layout follows from the rows alone
    reserved = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    reserved.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    reserved.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    aligned = {"alignment_threshold": 1, "alignment_interval": ALIGNMENT}
    with h5py.File(path, "w-", track_order=False, locking=False, **aligned) as file:
        file.attrs["format_version"] = FORMAT_VERSION
        for name, text in attributes.items():
            # of fixed length: HDF5 may loop for ever on a damaged heap of variable-length strings
            encoded = text.encode()
            fixed = h5py.string_dtype("utf-8", max(1, len(encoded)))
            file.attrs.create(name, np.array(encoded, fixed))
        for name, data in datasets.items():
            file.create_dataset(name, data=data, track_times=False)
        values = file.create_dataset(
            "values",
            (starts[-1], *spec.shape),
            stored_dtype(spec.dtype),
            dcpl=reserved,
            track_times=False,
        )
        # None for a dataset without a value: there is nothing to write then
        return values.id.get_offset() or 0


def _write_at(descriptor: int, data: memoryview, start: int) -> None:
    written = 0
    while written < len(data):  # one call takes at most 2 GiB
        written += os.pwrite(descriptor, data[written:], start + written)
