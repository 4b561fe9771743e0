"""Write one shard whose rows are known before their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from featbank.base.manifest import check_id
from featbank.errors import StoreError
from featbank.store.encoding import SCALES_DTYPE, Array, Encoded, find_encoding
from featbank.store.format import DIGEST_BYTES
from featbank.store.given import as_array
from featbank.store.narrowing import refuse_nonfinite
from featbank.store.pieces import RowPieces, WrittenRow
from featbank.store.shard_file import ShardFile, disk_fault, shard_columns
from featbank.store.shard_info import ShardInfo
from featbank.store.shard_layout import ShardSpec, lay_out


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
        check_digest(self.id, self.input_digest)


class ShardWriter:
    """Writes one shard; rows come in any order, and memory holds one of them, or a piece of it.

    The file takes its name only when it is whole: `close` syncs and renames it. A shard that is
    only on its way into another one needs no sync.
    """

    def __init__(
        self,
        path: str | Path,
        spec: ShardSpec,
        rows: Sequence[ShardRow],
        *,
        allow_nonfinite: bool = False,
        sync: bool = True,
    ) -> None:
        """Lay out the file.

        Args:
            path: of the finished shard; its folder exists.
            spec: what the rows have in common.
            rows: at least one, sorted by id.
            allow_nonfinite: store NaN and infinity, where the dtype has them, too.
            sync: wait until the disk has the shard before it takes its name; without, the system
                writes it when it likes, and whoever reads it must hold its rows against their
                checksums, and the rest of it against its digest.

        Raises:
            StoreError: there are no rows, they are not in order, or the disk is full.
        """
        self.path = Path(path)
        self._spec = spec
        self._rows = tuple(rows)
        self._encoding = find_encoding(spec.dtype)
        self._checks_finite = self._encoding.rounds and not allow_nonfinite
        self._syncs = sync
        self._index = {row.id: index for index, row in enumerate(self._rows)}
        self._written: dict[str, WrittenRow] = {}
        self._pieces: dict[str, RowPieces] = {}
        self._discarded: set[str] = set()
        try:
            self._file = self._create(self._rows)
        except OSError as error:
            raise disk_fault(f"shard {self.path}", error) from error

    def write(self, utterance_id: str, values: Any) -> None:
        """Write the values of one row.

        Args:
            utterance_id: of one of the rows.
            values: (num_frames, *shape), a NumPy array, a torch tensor on the CPU, or `Encoded`.

        Raises:
            StoreError: the id is unknown, written or discarded already, the shape is not the
                planned one, or the dtype cannot hold the values.
        """
        where = f"utterance {utterance_id!r} in shard {self.path}"
        index = self._row_index(utterance_id, where)
        if utterance_id in self._written or utterance_id in self._pieces:
            raise StoreError(where, expected="one write", got="a second one")
        encoded = self._encode(values, where)
        expected = (self._rows[index].num_frames, *self._spec.shape)
        if encoded.stored.shape != expected:
            raise StoreError(where, expected=f"shape {expected}", got=encoded.stored.shape)
        try:
            self._file.write_row(index, encoded.stored)
        except OSError as error:
            raise disk_fault(f"shard {self.path}", error) from error
        self._written[utterance_id] = WrittenRow(
            checksum=encoded.checksum,
            scale=b"" if encoded.scale is None else encoded.scale.tobytes(),
            max_abs_error=encoded.max_abs_error,
            sum_abs_error=encoded.sum_abs_error,
        )

    def write_piece(self, utterance_id: str, values: Any) -> None:
        """Write the next frames of one row, which is written once all of its frames are.

        The bytes of the shard are those that one `write` of all the frames gives.

        Args:
            utterance_id: of one of the rows.
            values: (n, *shape), a NumPy array or a torch tensor on the CPU.

        Raises:
            StoreError: the id is unknown, written or discarded already, the frames are of another
                shape or more than planned, or the dtype cannot hold the values.
        """
        where = f"utterance {utterance_id!r} in shard {self.path}"
        index = self._row_index(utterance_id, where)
        if utterance_id in self._written:
            raise StoreError(where, expected="one write", got="a second one")
        try:
            if utterance_id not in self._pieces:
                self._pieces[utterance_id] = RowPieces(
                    self._file,
                    index,
                    self._rows[index].num_frames,
                    self._spec.shape,
                    self._encoding,
                    where,
                )
            pieces = self._pieces[utterance_id]
            pieces.take(self._array(values, where))
            if pieces.num_taken == pieces.num_frames:
                self._written[utterance_id] = pieces.finish()
                del self._pieces[utterance_id]
        except OSError as error:
            raise disk_fault(f"shard {self.path}", error) from error

    def discard(self, utterance_id: str) -> None:
        """Take out a row that failed: the finished shard is as if it had never been planned.

        Raises:
            StoreError: the id is unknown, or discarded already.
        """
        self._row_index(utterance_id, f"utterance {utterance_id!r} in shard {self.path}")
        self._discarded.add(utterance_id)
        self._written.pop(utterance_id, None)
        if pieces := self._pieces.pop(utterance_id, None):
            pieces.close()

    def close(self) -> ShardInfo | None:
        """Finish the shard under its own name.

        Returns:
            What the header lists of it, with an empty part; None when every row was discarded, for
            then there is no shard.

        Raises:
            StoreError: some rows were neither written nor discarded, or half-written, or the disk
                is full. Nothing is left on disk.
        """
        try:
            for utterance_id, pieces in self._pieces.items():
                raise StoreError(
                    f"utterance {utterance_id!r} in shard {self.path}",
                    expected=f"{pieces.num_frames} frames",
                    got=f"{pieces.num_taken} in pieces",
                )
            if unwritten := self._index.keys() - self._written.keys() - self._discarded:
                raise StoreError(
                    f"shard {self.path}",
                    expected=f"all of its {len(self._rows)} rows",
                    got=f"{len(unwritten)} unwritten, first {min(unwritten)!r}",
                )
            if self._discarded:
                return self._without_discarded()
            return self._finish(self._file)
        except OSError as error:
            raise disk_fault(f"shard {self.path}", error) from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the unfinished file; after `close` there is none, and nothing happens."""
        while self._pieces:
            self._pieces.popitem()[1].close()
        self._file.abort()

    def _create(self, rows: Sequence[ShardRow]) -> ShardFile:
        return ShardFile(
            self.path,
            self._spec,
            [row.id for row in rows],
            [row.num_frames for row in rows],
            [row.input_digest for row in rows],
            is_read_soon=not self._syncs,
        )

    def _encode(self, values: Any, where: str) -> Encoded:
        if isinstance(values, Encoded):
            return values
        return self._encoding.encode(self._array(values, where), where)

    def _array(self, values: Any, where: str) -> Array:
        array = as_array(values, where)
        if self._checks_finite:
            refuse_nonfinite(array, self._encoding.name, where)
        return array

    def _row_index(self, utterance_id: str, where: str) -> int:
        if utterance_id not in self._index:
            raise StoreError(where, expected="an id of its plan", got="an unknown one")
        if utterance_id in self._discarded:
            raise StoreError(where, expected="a row that is still there", got="a discarded one")
        return self._index[utterance_id]

    def _finish(self, file: ShardFile) -> ShardInfo:
        written = [self._written[row.id] for row in self._rows if row.id in self._written]
        scales = None
        if self._encoding.has_scale:
            joined = b"".join(one.scale for one in written)
            scales = np.frombuffer(joined, SCALES_DTYPE).reshape(-1, *self._spec.shape)
        return file.finish(
            [one.checksum for one in written],
            scales,
            [one.max_abs_error for one in written],
            [one.sum_abs_error for one in written],
            sync=self._syncs,
        )

    def _without_discarded(self) -> ShardInfo | None:
        kept = [index for index, row in enumerate(self._rows) if row.id not in self._discarded]
        if not kept:
            return None
        rest = self._create([self._rows[index] for index in kept])
        try:
            starts = self._file.starts
            for place, index in enumerate(kept):
                rest.write_row(place, self._file.written(range(starts[index], starts[index + 1])))
            return self._finish(rest)
        finally:
            rest.abort()


def planned_bytes(spec: ShardSpec, rows: Sequence[ShardRow]) -> int:
    """Return the exact size of the file of a shard before its values exist.

    Where values will be compressed the size is that which the file has at most.
    """
    starts = [0, *accumulate(row.num_frames for row in rows)]
    columns = shard_columns([row.id for row in rows], starts, [row.input_digest for row in rows])
    num_bytes = lay_out(spec, columns, starts[-1], len(rows)).num_bytes
    if spec.compression is None:
        return num_bytes
    # what compression adds to noise: zstd and blosc below 1/200, HDF5 an index of the chunks
    return num_bytes + num_bytes // 128 + 16384


def check_digest(utterance_id: str, input_digest: bytes) -> None:
    """Refuse an input digest of another length.

    Raises:
        StoreError: it is neither 16 bytes nor none.
    """
    if len(input_digest) not in (0, DIGEST_BYTES):
        raise StoreError(
            f"input digest of {utterance_id!r}",
            expected=f"{DIGEST_BYTES} bytes or none",
            got=f"{len(input_digest)} bytes",
        )
