"""The rows of an export: what is a field of it, and one utterance with its values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from featbank.base.manifest import Utterance
from featbank.store import StoreHeader
from featbank.store.encoding import Array
from featbank.store.verified import VerifiedStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportField:
    """One feature that is exported: a column, or a file of its own.

    Args:
        name: of the feature, or as the user names it.
        header: of its stores, joined where there are several splits.
        dtype: of the values as a read gives them: float32 for `bfloat16` and `int8_scaled`.
    """

    name: str
    header: StoreHeader
    dtype: np.dtype[Any]

    @property
    def is_tokens(self) -> bool:
        """Whether it holds integers: units (T,), or codes (Q, T)."""
        return self.dtype.kind in "iu"

    @property
    def is_codes(self) -> bool:
        """Whether an utterance is (Q, T), of Q codebooks."""
        return self.header.time_axis == -1

    @property
    def axes(self) -> tuple[int | None, ...]:
        """The shape of an utterance as it is read, None for T; see `StoreHeader.axes`."""
        return self.header.axes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """One utterance; its values are read when they are asked for.

    Args:
        id: of it.
        split: it is in.
        stores: that hold it, by field.
        utterance: its row of the manifest; None where no manifests were given.
    """

    id: str
    split: str
    stores: Mapping[str, VerifiedStore]
    utterance: Utterance | None

    def read(self, field: str) -> Array:
        """Return the values of a field, held against their checksum; read-only.

        Raises:
            StoreError: they are not those that were written; it names the utterance.
        """
        return self.stores[field].read(self.id)

    def num_frames(self, field: str) -> int:
        """Return T of a field; 1 where there is one value an utterance."""
        return self.stores[field].num_frames(self.id)

    @property
    def num_bytes(self) -> int:
        """Bytes of its values as they are read, in all fields."""
        return sum(
            store.num_frames(self.id) * prod(store.shape) * store.dtype.itemsize
            for store in self.stores.values()
        )

    @property
    def manifest_row(self) -> Utterance:
        """Its row of the manifest, of formats that demand manifests."""
        assert self.utterance is not None
        return self.utterance


def cut(rows: Iterable[ExportRow], max_bytes: int) -> Iterator[tuple[ExportRow, ...]]:
    """Cut utterances into groups whose values have `max_bytes` at most, or are one utterance."""
    group: list[ExportRow] = []
    num_bytes = 0
    for row in rows:
        if group and num_bytes + row.num_bytes > max_bytes:
            yield tuple(group)
            group, num_bytes = [], 0
        group.append(row)
        num_bytes += row.num_bytes
    if group:
        yield tuple(group)
