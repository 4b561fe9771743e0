"""Write a store from utterances in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from featbank.base.failures import Failure
from featbank.base.framing import Framing
from featbank.base.manifest import check_id
from featbank.errors import StoreError
from featbank.store.builder import StoreBuilder
from featbank.store.compression import check_compression
from featbank.store.encoding import Encoded
from featbank.store.given import DTypeLike
from featbank.store.header import Numerics, StoreHeader
from featbank.store.header_file import header_text
from featbank.store.publishing import PublishingWriter
from featbank.store.reader import Store
from featbank.store.row_encoder import RowEncoder
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

    version: ClassVar[int] = 1

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
        numerics: Numerics | None = None,
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
        self._rows = RowEncoder(
            dtype=dtype,
            shape=shape,
            time_axis=time_axis,
            codebook_size=codebook_size,
            allow_nonfinite=allow_nonfinite,
        )
        check_compression(compression)
        check_target(shard_bytes)
        self._header = StoreHeader(
            name=name,
            dtype=self._rows.dtype,
            shape=self._rows.shape or (),
            time_axis=time_axis,
            codebook_size=codebook_size,
            compression=compression,
            frame_rate=frame_rate,
            first_frame_center_s=first_frame_center_s,
            framing=framing,
            fingerprint=fingerprint,
            provenance=dict(provenance or {}),
        )
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
        self._in_store = self._rows.in_store = f" in store {self._builder.path}"

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
        self._add(key, self._rows.encode(key, value), input_digest, part)
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
        return self._rows.encode(key, value)

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
        self._rows.check_encoded(key, encoded)
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
        size = there.frame_bytes
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
                    shape=self._rows.shape or (),
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
        if self._run is not None:
            self._run.close()
        self._run = self._spool = None
        self._builder.abort()

    def _spooled(self, run: SortedRun) -> Spool:
        """Return the spool, which takes over from the sorted run when an id is out of order."""
        if self._spool is None:
            self._spool = Spool(self._builder.folder, run, self._spec(), self._shard_bytes)
        return self._spool

    def _refuse_known(self, utterance_id: str) -> None:
        """Refuse an id that is here already; from now on, all of them are kept to tell."""
        if self._known is None:
            state, self._state = self._state, "failed"  # until all shards are there
            try:
                self._known = set(self._run.ids()) if self._run else set()
            except OSError as error:
                raise disk_fault(f"store {self.storage_path}", error) from error
            self._state = state
        if utterance_id in self._known or utterance_id in self._failures:
            where = f"utterance {utterance_id!r}{self._in_store}"
            raise StoreError(where, expected="one write", got="a second one")

    def _spec(self) -> ShardSpec:
        return ShardSpec(
            name=self._header.name,
            dtype=self._header.dtype,
            shape=self._rows.shape or (),
            fingerprint=self._header.fingerprint,
            numerics=self._numerics,
            compression=self._header.compression,
        )
