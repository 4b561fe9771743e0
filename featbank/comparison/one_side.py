"""One of two stores that are compared: those of its shards that the other has not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from typing import Protocol

from featbank.comparison.measuring import StoredRow
from featbank.errors import StoreError
from featbank.store import MappedShard, ShardInfo, StoreHeader


class ShardedStore(Protocol):
    """What a comparison needs of a store, wherever its files lie."""

    @property
    def header(self) -> StoreHeader:
        """What it says of itself."""

    def open_shard(self, number: int) -> MappedShard:
        """Return the shard that `header.shards[number]` lists.

        Raises:
            StoreError: it is missing or damaged.
        """


class OneSide:
    """Finds rows in some shards of a store; those that cannot be read are noted, once each.

    Args:
        store: of the shards.
        numbers: of those shards that are looked at.
    """

    def __init__(self, store: ShardedStore, numbers: Collection[int]) -> None:
        self._store = store
        self._numbers = numbers
        self._opened: dict[int, MappedShard | None] = {}
        self._unread: list[ShardInfo] = []
        self.problems: list[str] = []
        """Why shards could not be read."""
        # a header lists the shards of a part by their ids, which do not overlap there
        self._by_part: dict[str, list[int]] = {}
        self._first_ids: dict[str, list[str]] = {}
        for number in numbers:
            info = store.header.shards[number]
            self._by_part.setdefault(info.part, []).append(number)
            self._first_ids.setdefault(info.part, []).append(info.first_id)

    @property
    def num_utterances(self) -> int:
        """Utterances of all these shards."""
        return sum(self._store.header.shards[number].num_utterances for number in self._numbers)

    @property
    def num_read(self) -> int:
        """Shards that were opened."""
        return sum(shard is not None for shard in self._opened.values())

    @property
    def num_unread(self) -> int:
        """Utterances of the shards that could not be opened."""
        return sum(info.num_utterances for info in self._unread)

    def rows(self) -> Iterator[tuple[str, str, StoredRow]]:
        """Give the id, the part and the place of every row, in store order."""
        for number in self._numbers:
            if (shard := self._open(number)) is not None:
                part = self._store.header.shards[number].part
                for row, utterance_id in enumerate(shard.ids()):
                    yield utterance_id, part, StoredRow(shard, row)

    def find(self, utterance_id: str, part: str) -> StoredRow | None:
        """Return where an utterance is, or None.

        Args:
            utterance_id: of it.
            part: where it is looked for first.
        """
        for name in (part, *(other for other in self._by_part if other != part)):
            place = bisect_right(self._first_ids.get(name, ()), utterance_id) - 1
            if place < 0:
                continue
            number = self._by_part[name][place]
            if self._store.header.shards[number].last_id < utterance_id:
                continue
            shard = self._open(number)
            row = None if shard is None else shard.find(utterance_id)
            if shard is not None and row is not None:
                return StoredRow(shard, row)
        return None

    def may_hold(self, utterance_id: str) -> bool:
        """Tell whether an utterance may be in a shard that could not be read."""
        return any(info.first_id <= utterance_id <= info.last_id for info in self._unread)

    def _open(self, number: int) -> MappedShard | None:
        if number not in self._opened:
            try:
                self._opened[number] = self._store.open_shard(number)
            except StoreError as error:
                self._opened[number] = None
                self._unread.append(self._store.header.shards[number])
                self.problems.append(str(error))
        return self._opened[number]
