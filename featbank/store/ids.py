"""The ids of a store as a sequence that is read where it is asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, overload

import numpy as np
from xxhash import xxh3_128

from featbank.store.mapped import MappedShard


class _Store(Protocol):
    """What ids need of a store."""

    @property
    def rows_before(self) -> Sequence[int]: ...

    def open_shard(self, number: int) -> MappedShard: ...

    def row_number(self, utterance_id: str) -> int: ...

    def __contains__(self, utterance_id: object) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...


class StoreIds(Sequence[str]):
    """All ids in store order; memory holds none of them."""

    def __init__(self, store: _Store) -> None:
        self._store = store

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self._store)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Return one id, or the list of a slice of them."""
        if isinstance(index, slice):
            return [self._at(number) for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"expected an index within {len(self)} ids, got {index}")
        return self._at(number)

    def __iter__(self) -> Iterator[str]:
        """Give every id."""
        return iter(self._store)

    def __contains__(self, utterance_id: object) -> bool:
        """Tell whether an id is there, by the index of the shards."""
        return utterance_id in self._store

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return where an id stands, by the index of the shards.

        Raises:
            ValueError: it is not there, or not within the bounds.
        """
        number = self._store.row_number(value) if value in self._store else -1
        if number not in range(*slice(start, stop).indices(len(self))):
            raise ValueError(f"expected an id among {len(self)}, got {value!r}")
        return number

    def __eq__(self, other: object) -> bool:
        """Compare with another sequence of ids."""
        if isinstance(other, StoreIds):
            return len(self) == len(other) and self.digest() == other.digest()
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(
            one == two for one, two in zip(self, other, strict=True)
        )

    __hash__: Any = None

    def digest(self) -> bytes:
        """Return a digest of all ids in order, wherever the shards are cut."""
        lengths, texts = xxh3_128(), xxh3_128()
        for number in range(len(self._store.rows_before) - 1):
            shard = self._store.open_shard(number)
            lengths.update(np.diff(shard.id_starts).data)
            texts.update(shard.id_bytes)
        return lengths.digest() + texts.digest()

    def __repr__(self) -> str:
        """Show the first few."""
        shown = ", ".join(map(repr, self[:3]))
        return f"<{len(self)} ids: {shown}{', ...' if len(self) > 3 else ''}>"

    def _at(self, number: int) -> str:
        shard = bisect_right(self._store.rows_before, number) - 1
        return self._store.open_shard(shard).id(number - self._store.rows_before[shard])
