"""The ids of a store as a sequence that is read where it is asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from featbank.store.reader import Store


class StoreIds(Sequence[str]):
    """All ids in store order; memory holds none of them."""

    def __init__(self, store: Store) -> None:
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

    def __eq__(self, other: object) -> bool:
        """Compare with another sequence of ids."""
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(
            one == two for one, two in zip(self, other, strict=True)
        )

    __hash__: Any = None

    def __repr__(self) -> str:
        """Show the first few."""
        shown = ", ".join(map(repr, self[:3]))
        return f"<{len(self)} ids: {shown}{', ...' if len(self) > 3 else ''}>"

    def _at(self, number: int) -> str:
        shard = bisect_right(self._store.rows_before, number) - 1
        return self._store.open_shard(shard).id(number - self._store.rows_before[shard])
