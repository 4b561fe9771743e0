"""Write a store from utterances in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from featbank.errors import StoreError
from featbank.failures import Failure
from featbank.framing import Framing
from featbank.provenance import canonical_json
from featbank.store.builder import StoreBuilder
from featbank.store.format import stored_dtype
from featbank.store.layout import ShardInfo, StoreHeader
from featbank.store.shard import ShardRow, ShardSpec, ShardWriter
from featbank.store.sharding import plan_shards, row_bytes, shard_name
from featbank.store.values import Array, convert_values

SHARD_BYTES = 256 << 20
"""Default target size of a shard; none weighs more than twice this."""


class StoreWriter:
    """Writes a store from utterances in any order; the same rows give the same bytes.

    Values wait in one raw file beside the shards, so memory holds one utterance and the list of
    rows. Leaving the `with` block publishes the store; an exception, or a kill, leaves what was
    there before.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str,
        dtype: str,
        shape: tuple[int, ...] | None = None,
        frame_rate: float | None = None,
        first_frame_center_s: float | None = None,
        framing: Framing | None = None,
        provenance: Mapping[str, Any] | None = None,
        fingerprint: str = "",
        shard_bytes: int = SHARD_BYTES,
        numerics: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin a store.

        Args:
            path: of the store to be.
            name: of the feature.
            dtype: NumPy name of the stored dtype.
            shape: of one frame; as the first utterance has it when None, `()` when there is none.
            frame_rate: frames a second; None when it varies.
            first_frame_center_s: time of the middle of the first frame.
            framing: the exact frame grid.
            provenance: what the store is made from, as JSON values.
            fingerprint: digest of all that determines the values but the audio.
            shard_bytes: target size of a shard.
            numerics: the class of machine that computed the values, as JSON values.

        Raises:
            StoreError: another writer is at work, `path` holds something that is no store, or
                stores do not hold `dtype`.
        """
        self._header = StoreHeader(
            name=name,
            dtype=stored_dtype(dtype).name,
            shape=shape or (),
            frame_rate=frame_rate,
            first_frame_center_s=first_frame_center_s,
            framing=framing,
            fingerprint=fingerprint,
            provenance=dict(provenance or {}),
        )
        canonical_json(self._header.to_json())  # what is no JSON is refused now, not after hours
        self._dtype = stored_dtype(dtype)
        self._shape = shape
        self._numerics = dict(numerics or {})
        self._shard_bytes = shard_bytes
        self._rows: dict[str, _SpooledRow] = {}
        self._failures: dict[str, Failure] = {}
        self._spooled = 0
        self._builder = StoreBuilder(path)
        self._spool_path = self._builder.folder / ".spool"
        self._spool = open(self._spool_path, "wb")  # noqa: SIM115 - closed by commit or abort

    def write(
        self, utterance_id: str, values: Any, input_digest: bytes = b"", part: str = ""
    ) -> None:
        """Add one utterance.

        Args:
            utterance_id: not yet in the store.
            values: (T, *shape), a NumPy array or a torch tensor on the CPU; T may be 0.
            input_digest: 16 bytes that stand for what it was computed from.
            part: the group whose shards it goes to.

        Raises:
            StoreError: an invalid or repeated id, another shape than the first utterance's, or
                values that the dtype cannot hold.
        """
        where = self._check_new(utterance_id)
        array = convert_values(values, self._dtype, where)
        if self._shape is None:
            self._shape = array.shape[1:]
        if array.shape[1:] != self._shape:
            raise StoreError(where, expected=f"frames of shape {self._shape}", got=array.shape[1:])
        row = ShardRow(id=utterance_id, num_frames=len(array), input_digest=input_digest)
        self._rows[utterance_id] = _SpooledRow(row=row, part=part, start=self._spooled)
        self._spool.write(array.reshape(-1).view(np.uint8).data)
        self._spooled += array.size

    def fail(self, failure: Failure) -> None:
        """Note that an utterance failed: it goes to the failure list beside the store.

        Raises:
            StoreError: the utterance was written, or failed already.
        """
        self._check_new(failure.id)
        self._failures[failure.id] = failure

    def commit(self) -> None:
        """Write the shards and publish the store."""
        self._spool.close()
        spooled = sorted(self._rows.values(), key=lambda one: (one.part, one.row.id))
        frame_bytes = self._dtype.itemsize * prod(self._shape or ())
        weights = [
            (one.part, one.row.id, row_bytes(one.row.id, one.row.num_frames * frame_bytes))
            for one in spooled
        ]
        plan = plan_shards(weights, self._shard_bytes)
        values = (
            np.asarray(np.memmap(self._spool_path, self._dtype, "r"))
            if self._spooled
            else np.empty(0, self._dtype)  # an empty file cannot be mapped
        )
        shards = [self._write_shard([spooled[index] for index in shard], values) for shard in plan]
        self._spool_path.unlink()
        self._builder.commit(
            replace(
                self._header,
                shape=self._shape or (),
                numerics=(self._numerics,) if shards and self._numerics else (),
                num_failures=len(self._failures),
                shards=tuple(shards),
            ),
            list(self._failures.values()),
        )

    def abort(self) -> None:
        """Drop what was written; after `commit` nothing happens."""
        with suppress(OSError):  # what a full disk could not take is dropped anyway
            self._spool.close()
        self._builder.abort()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Publish the store, or drop it when the block raised."""
        try:
            if kind is None:
                self.commit()
        finally:
            self.abort()

    def _check_new(self, utterance_id: str) -> str:
        """Refuse an id that is here already; return the words that name it in an error."""
        where = f"utterance {utterance_id!r} in store {self._builder.path}"
        if utterance_id in self._rows or utterance_id in self._failures:
            raise StoreError(where, expected="one write", got="a second one")
        return where

    def _write_shard(self, spooled: Sequence[_SpooledRow], values: Array) -> ShardInfo:
        spec = ShardSpec(
            name=self._header.name,
            dtype=self._header.dtype,
            shape=self._shape or (),
            fingerprint=self._header.fingerprint,
            numerics=self._numerics,
        )
        rows = [one.row for one in spooled]
        name = shard_name(spec.fingerprint, [(row.id, row.input_digest) for row in rows])
        writer = ShardWriter(self._builder.folder / name, spec, rows)
        try:
            for one in spooled:
                shape = (one.row.num_frames, *spec.shape)
                row_values = values[one.start : one.start + prod(shape)].reshape(shape)
                writer.write(one.row.id, row_values)
            info = writer.close()
        finally:
            writer.abort()
        assert info is not None  # no row was discarded
        return replace(info, part=spooled[0].part)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SpooledRow:
    row: ShardRow
    part: str
    start: int
