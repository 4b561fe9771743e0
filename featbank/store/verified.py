"""Read a store to compute from it: nothing that has changed since it was written goes in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from featbank.errors import StoreError
from featbank.store.encoding import Array, Encoded
from featbank.store.healing import heal
from featbank.store.mapped import MappedShard
from featbank.store.reader import Store
from featbank.store.verify import file_problem, is_sound


def open_verified(path: str | Path) -> VerifiedStore:
    """Open a store, or a folder of stores of one feature, for a stage to read.

    Raises:
        StoreError: as of `open_store`.
    """
    store = VerifiedStore(path)
    store.refuse_misplaced()
    return store


class VerifiedStore(Store):
    """A store that looks at what it gives: XXH3 runs at the speed of memory.

    The bytes around the values of a shard (ids, lengths, scales, input digests) are held against
    its digest when it is opened, the values of an utterance against their checksum when they are
    read. A `StoreError` names what is damaged; no stage may take it for a fault of an utterance.
    """

    def __init__(self, storage_path: str | Path, splits: str | Sequence[str] | None = None) -> None:
        """Open; see `open_verified`."""
        super().__init__(storage_path, splits)
        self._verified: set[int] = set()

    def open_shard(self, number: int) -> MappedShard:
        """Return the shard that `shards[number]` lists, all of it but plain values as written.

        Raises:
            StoreError: as of `Store.open_shard`, or it is damaged.
        """
        try:
            shard = super().open_shard(number)
        except StoreError as error:
            error.hint = error.hint or heal(self._sources[number][0].folder)
            raise
        if number not in self._verified:
            opened, info = self._sources[number]
            try:
                problem = file_problem(shard.path, opened.header, info)
            except OSError as error:
                problem = str(error)
            if problem:
                self.close()  # it must not be found open by the next who asks
                raise StoreError(f"shard {shard.path}: {problem}", hint=heal(shard.path.parent))
            self._verified.add(number)
        return shard

    def read(
        self,
        utterance_id: str,
        left_offset_frames: int = 0,
        right_offset_frames: int | None = None,
        *,
        strict: bool = False,
        copy: bool = False,
    ) -> Array:
        """Return frames of an utterance; see `Store.read`.

        Raises:
            StoreError: as of `Store.read`, or its values are not those that were written.
        """
        self._check_values(utterance_id)
        return super().read(
            utterance_id, left_offset_frames, right_offset_frames, strict=strict, copy=copy
        )

    def read_batch(
        self, utterance_ids: Sequence[str], padding_value: float = 0
    ) -> tuple[Array, npt.NDArray[Any]]:
        """Read utterances into one padded array; see `Store.read_batch`.

        Raises:
            StoreError: as of `Store.read_batch`, or values are not those that were written.
        """
        for one in set(utterance_ids):
            self._check_values(one)
        return super().read_batch(utterance_ids, padding_value)

    def encoded(self, utterance_id: str) -> Encoded:
        """Return the values of an utterance as they are stored, for `StoreWriter.write_encoded`.

        Raises:
            StoreError: as of `read`.
        """
        self._check_values(utterance_id)
        _, shard, row = self._locate(utterance_id)
        return Encoded(shard.stored(row), shard.scale(row), *shard.rounding_error(row))

    def _check_values(self, utterance_id: str) -> None:
        number, shard, row = self._locate(utterance_id)
        # the digest of a compressed shard is one of its values, too
        if self.shards[number].values_start and not is_sound(shard, row):
            raise StoreError(
                f"utterance {utterance_id!r} in shard {shard.path}",
                expected="the values that were written",
                got="others",
                hint=heal(shard.path.parent),
            )
