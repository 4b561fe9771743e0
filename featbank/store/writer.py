"""Write a store from utterances in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from featbank.errors import StoreError
from featbank.failures import Failure
from featbank.framing import Framing
from featbank.manifest import check_id
from featbank.store.builder import StoreBuilder
from featbank.store.compression import check_compression
from featbank.store.dtypes import DTypeLike, dtype_name
from featbank.store.encoding import Array, Encoded, as_array, find_encoding, token_dtype
from featbank.store.layout import StoreHeader, frame_bytes, header_text
from featbank.store.narrowing import refuse_nonfinite
from featbank.store.publishing import PublishingWriter
from featbank.store.reader import Store
from featbank.store.shard import check_digest
from featbank.store.shard_file import disk_fault, sync_files
from featbank.store.shard_layout import ShardSpec
from featbank.store.sharding import check_target, plan_shards, row_bytes
from featbank.store.sorted_run import SortedRun
from featbank.store.spool import Spool

SHARD_BYTES = 256 << 20
"""Default target size of a shard; none weighs more than twice this."""


class StoreWriter(PublishingWriter):
    """Writes a store from utterances in any order; the same rows give the same bytes.

    While ids rise, shards are written as they become certain, and memory holds the values of twice
    `shard_bytes` at most. From the first id on that does not, values wait in an unnamed file beside
    the shards, and memory holds only the list of rows. Leaving the `with` block publishes the
    store; an exception, or a kill, leaves what was there before.
    """

    def __init__(
        self,
        storage_path: str | Path,
        *,
        name: str,
        dtype: DTypeLike | None = None,
        shape: Sequence[int] | None = None,
        time_axis: int | None = 0,
        codebook_size: int | None = None,
        compression: str | None = None,
        frame_rate: float | None = None,
        first_frame_center_s: float | None = None,
        framing: Framing | None = None,
        provenance: Mapping[str, Any] | None = None,
        fingerprint: str = "",
        shard_bytes: int = SHARD_BYTES,
        numerics: Mapping[str, Any] | None = None,
        break_lock: bool = False,
        allow_nonfinite: bool = False,
        mode: str = "w",
    ) -> None:
        """Begin a store.

        Args:
            storage_path: of the store to be.
            name: of the feature.
            dtype: that is stored: one of NumPy's or torch's or its name, `bfloat16`, or
                `int8_scaled` (floats as int8 with a scale an utterance and dimension). None for the
                smallest that holds the tokens of a codebook, or float32 where there is none.
            shape: of one frame; as the first utterance has it when None, `()` when there is none.
            time_axis: of the arrays that are written and read: 0 for (T, *shape), -1 for codes
                (Q, T), None for one value (*shape) an utterance, such as a speaker embedding.
            codebook_size: tokens are from 0 to one less; others are refused.
            compression: of the values: `zstd` or `blosc`, for archives; reads then undo it.
            frame_rate: frames a second; None when it varies.
            first_frame_center_s: time of the middle of the first frame.
            framing: the exact frame grid.
            provenance: what the store is made from, as JSON values.
            fingerprint: digest of all that determines the values but the audio.
            shard_bytes: target size of a shard.
            numerics: the class of machine that computed the values, as JSON values.
            break_lock: take the lock of a writer that is gone, where nobody can tell that it is.
            allow_nonfinite: store NaN and infinity, where the dtype has them, too.
            mode: `w` replaces a store that is there, `x` refuses to.

        Raises:
            StoreError: another writer is at work, `storage_path` holds something that is no
                store, or an option has a value that stores do not know.
        """
        if dtype is None:
            dtype = "float32" if codebook_size is None else token_dtype(codebook_size)
        dtype = dtype_name(dtype)
        self._encoding = find_encoding(dtype)
        if time_axis not in (0, -1, None):
            raise StoreError("time_axis of a store", expected="0, -1 or None", got=time_axis)
        if codebook_size is not None and self._encoding.read.kind not in "iu":
            raise StoreError(
                "dtype of a store of tokens", expected="an integer dtype", got=repr(dtype)
            )
        check_compression(compression)
        check_target(shard_bytes)
        self._shape = None if shape is None else tuple(shape)
        self._header = StoreHeader(
            name=name,
            dtype=dtype,
            shape=self._shape or (),
            time_axis=time_axis,
            codebook_size=codebook_size,
            compression=compression,
            frame_rate=frame_rate,
            first_frame_center_s=first_frame_center_s,
            framing=framing,
            fingerprint=fingerprint,
            provenance=dict(provenance or {}),
        )
        self._is_plain = time_axis == 0 and codebook_size is None and not self._encoding.has_scale
        self._is_plain &= self._encoding.read == self._encoding.stored
        self._checks_finite = self._encoding.rounds and not allow_nonfinite
        self._numerics = dict(numerics or {})
        try:  # now, not after hours
            header_text(replace(self._header, numerics=(self._numerics,))).encode()
        except (TypeError, ValueError) as error:  # what is no JSON, and NaN or half a surrogate
            raise StoreError(
                f"header of store {storage_path}",
                expected="provenance, numerics and numbers that JSON has",
                got=error,
                hint="give paths as texts, and None for NaN",
            ) from error
        self._shard_bytes = shard_bytes
        self._failures: dict[str, Failure] = {}
        self._known: set[str] | None = None  # ids, where their order does not tell what is new
        self._run: SortedRun | None = None  # from the first utterance on
        self._spool: Spool | None = None  # from the first one on that is out of order
        self._builder = StoreBuilder(storage_path, break_lock=break_lock)
        super().__init__(f"writer of store {self._builder.path}")
        try:
            self._check_mode(mode)
        except StoreError:
            self.abort()
            raise
        self._in_store = f" in store {self._builder.path}"

    @property
    def name(self) -> str:
        """Of the feature."""
        return self._header.name

    @property
    def storage_path(self) -> Path:
        """Of the store to be."""
        return self._builder.path

    @property
    def framing(self) -> Framing | None:
        """The exact frame grid, where it is known."""
        return self._header.framing

    @property
    def time_axis(self) -> int | None:
        """Of the arrays that are written; None where there is one value an utterance."""
        return self._header.time_axis

    def write(self, key: str, value: Any, input_digest: bytes = b"", part: str = "") -> str:
        """Add one utterance.

        Args:
            key: its id, not yet in the store.
            value: (T, *shape), or (Q, T) where the time axis is the last, or (*shape) where there
                is none: a NumPy array or a torch tensor; T may be 0.
            input_digest: 16 bytes that stand for what it was computed from.
            part: the group whose shards it goes to.

        Returns:
            The key, by which it can be read.

        Raises:
            StoreError: an invalid or repeated id, another shape than the first utterance's, NaN or
                infinity, values that the dtype or the codebook does not have, a writer that has
                failed or ended, or a disk that is full: the writer has failed then, and publishes
                nothing.
        """
        self._check_open()
        check_id(key, StoreError)
        self._add(key, self._encode(key, value), input_digest, part)
        return key

    def describe(self, *, fingerprint: str, provenance: Mapping[str, Any]) -> None:
        """State what determines the values, before the first of them.

        Args:
            fingerprint: in place of what the writer was made with.
            provenance: beside what the writer was made with.

        Raises:
            StoreError: an utterance is written already.
        """
        self._check_open()
        if self._run is not None:
            raise StoreError(
                f"writer{self._in_store}", expected="no utterance yet", got="one or more"
            )
        self._header = replace(
            self._header,
            fingerprint=fingerprint,
            provenance={**self._header.provenance, **provenance},
        )

    def encode(self, key: str, value: Any) -> Encoded:
        """Return the values of an utterance as the store will hold them; see `write_encoded`.

        Raises:
            StoreError: as of `write`.
        """
        self._check_open()
        check_id(key, StoreError)
        return self._encode(key, value)

    def write_encoded(self, key: str, encoded: Encoded, input_digest: bytes = b"") -> None:
        """Add an utterance that a writer with the same options has encoded.

        Args:
            key: its id, not yet in the store.
            encoded: as `encode` gave it, or `VerifiedStore.encoded`.
            input_digest: as of `write`.

        Raises:
            StoreError: as of `write`, or it is encoded for another store.
        """
        self._check_open()
        check_id(key, StoreError)
        stored, where = encoded.stored, f"utterance {key!r}{self._in_store}"
        scale = stored.shape[1:] if self._encoding.has_scale else None
        if stored.dtype != self._encoding.stored or scale != (
            None if encoded.scale is None else encoded.scale.shape
        ):
            raise StoreError(
                where, expected=f"values as {self._encoding.name}", got=stored.dtype.name
            )
        if self._shape is not None and stored.shape[1:] != self._shape:
            raise StoreError(where, expected=f"frames of shape {self._shape}", got=stored.shape[1:])
        self._shape = stored.shape[1:]
        self._add(key, encoded, input_digest, "")

    def is_same_as(self, published: Store) -> bool:
        """Tell whether a store is, byte for byte, what this writer would make of the rows in it.

        Args:
            published: a store of rows in one part, none of which failed.
        """
        there = published.header
        made = replace(self._header, shape=there.shape, numerics=there.numerics)
        if made != replace(there, shards=()) or any(info.part for info in there.shards):
            return False
        ids, counts = list(published), published.frame_counts.tolist()
        size = frame_bytes(there)
        rows = [
            ("", one, row_bytes(one.encode(), count * size))
            for one, count in zip(ids, counts, strict=True)
        ]
        cuts = [len(rows) for rows in plan_shards(rows, self._shard_bytes)]
        return cuts == [info.num_utterances for info in there.shards]

    def _add(self, key: str, encoded: Encoded, input_digest: bytes, part: str) -> None:
        run = self._run
        if run is None:
            run = self._run = SortedRun(self._builder.folder, self._spec(), self._shard_bytes)
        # an id after all others of the only part is new: the usual case, where none are collected
        usual = key > run.last_id and part == run.part and not (self._known or self._failures)
        if not usual:
            self._refuse_known(key)
        if input_digest:
            check_digest(key, input_digest)
        self._state = "failed"  # until the row is there as a whole
        try:
            if self._spool is None and (usual or (part, key) > (run.part, run.last_id)):
                run.add(key, part, input_digest, encoded)
            else:
                self._spooled(run).add(key, part, input_digest, encoded)
        except OSError as error:
            raise disk_fault(f"store {self.storage_path}", error) from error
        self._state = "open"
        if self._known is not None:
            self._known.add(key)

    def fail(self, failure: Failure) -> None:
        """Note that an utterance failed: it goes to the failure list beside the store.

        Raises:
            StoreError: the utterance was written, or failed already, or the writer has ended.
        """
        self._check_open()
        self._refuse_known(failure.id)
        self._failures[failure.id] = failure

    @property
    def _has_rows(self) -> bool:
        return self._run is not None

    def _complete(self) -> None:
        try:
            shards = (self._spool or self._run).finish() if self._run else []
            sync_files(self._builder.folder, [info.name for info in shards])
            self._builder.complete(
                replace(
                    self._header,
                    shape=self._shape or (),
                    numerics=(self._numerics,) if shards and self._numerics else (),
                    num_failures=len(self._failures),
                    shards=tuple(shards),
                ),
                list(self._failures.values()),
            )
        except OSError as error:
            raise disk_fault(f"store {self.storage_path}", error) from error

    def _publish(self) -> None:
        self._builder.publish()

    @property
    def builder(self) -> StoreBuilder:
        """What holds the unfinished store."""
        return self._builder

    def _drop(self) -> None:
        if self._spool is not None:
            self._spool.close()
        self._run = self._spool = None
        self._builder.abort()

    def _spooled(self, run: SortedRun) -> Spool:
        """Return the spool, which takes over from the sorted run when an id is out of order."""
        if self._spool is None:
            self._spool = Spool(self._builder.folder, run, self._spec(), self._shard_bytes)
        return self._spool

    def _encode(self, key: str, value: Any) -> Encoded:
        if (
            self._is_plain
            and type(value) is np.ndarray
            and value.dtype == self._encoding.stored
            and value.shape[1:] == self._shape
            and value.flags.c_contiguous
        ):
            if self._checks_finite:
                refuse_nonfinite(value, self._encoding.name, f"utterance {key!r}{self._in_store}")
            return Encoded(value)  # nothing to convert: the usual case, ten million times
        where = f"utterance {key!r}{self._in_store}"
        time_axis = self._header.time_axis
        array = as_array(value, where, has_time=time_axis is not None)
        if time_axis is None:
            array = array[None]  # stored as one frame
        elif time_axis == -1:
            array = np.moveaxis(array, -1, 0)
        if self._header.codebook_size is not None:
            self._check_tokens(array, where)
        shape = array.shape[1:]
        if self._shape is not None and shape != self._shape:
            values = "values" if time_axis is None else "frames"
            raise StoreError(where, expected=f"{values} of shape {self._shape}", got=shape)
        if self._checks_finite:
            refuse_nonfinite(array, self._encoding.name, where)
        encoded = self._encoding.encode(array, where)
        self._shape = shape
        return encoded

    def _check_tokens(self, array: Array, where: str) -> None:
        size = self._header.codebook_size
        if size is None or not array.size or array.dtype.kind not in "iu":
            return
        lowest, highest = int(array.min()), int(array.max())
        if lowest < 0 or highest >= size:
            raise StoreError(
                where,
                expected=f"tokens from 0 to {size - 1}",
                got=lowest if lowest < 0 else highest,
            )

    def _refuse_known(self, utterance_id: str) -> None:
        """Refuse an id that is here already; from now on, all of them are kept to tell."""
        if self._known is None:
            self._known = set(self._run.ids()) if self._run else set()
        if utterance_id in self._known or utterance_id in self._failures:
            where = f"utterance {utterance_id!r}{self._in_store}"
            raise StoreError(where, expected="one write", got="a second one")

    def _spec(self) -> ShardSpec:
        return ShardSpec(
            name=self._header.name,
            dtype=self._header.dtype,
            shape=self._shape or (),
            fingerprint=self._header.fingerprint,
            numerics=self._numerics,
            compression=self._header.compression,
        )
