"""The shards that headers list: which of them holds an id, each opened when it is asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from featbank.store.mapped import MappedShard
from featbank.store.shard_info import ShardInfo
from featbank.store.soundness import check_when_opened, refuse_differences
from featbank.store.stamps import OpenedHeader


class ListedShards:
    """The ids of one store or of several, in the order of their headers.

    Args:
        headers: of the stores.
    """

    def __init__(self, headers: list[OpenedHeader]) -> None:
        self._sources = [(opened, info) for opened in headers for info in opened.header.shards]
        self._headers = headers
        infos = [info for _, info in self._sources]
        self._opened: list[MappedShard | None] = [None] * len(self._sources)
        self._rows_before = [
            0,
            *accumulate(info.num_utterances for info in infos),
        ]
        # shards by their first id; parts and splits may overlap, so beside each stands the greatest
        # last id so far: a search goes back only while that reaches the id
        self._by_first_id = sorted(
            range(len(self._sources)), key=lambda number: infos[number].first_id
        )
        self._first_ids = [infos[number].first_id for number in self._by_first_id]
        self._reach = list(accumulate((infos[number].last_id for number in self._by_first_id), max))

    @property
    def rows_before(self) -> Sequence[int]:
        """Utterances before each shard, then the total: (num_shards + 1,)."""
        return self._rows_before

    @property
    def _shard_numbers(self) -> range:
        return range(len(self._sources))

    def __len__(self) -> int:
        """Return the number of utterances."""
        return self._rows_before[-1]

    def __iter__(self) -> Iterator[str]:
        """Give the ids, in store order."""
        for number in self._shard_numbers:
            yield from self.open_shard(number).ids()

    def __contains__(self, utterance_id: object) -> bool:
        """Tell whether the store holds an id."""
        return isinstance(utterance_id, str) and self._find(utterance_id) is not None

    def open_shard(self, number: int) -> MappedShard:
        """Return the shard that `shards[number]` lists.

        Raises:
            StoreError: it is missing, damaged, or not the one that is listed, or the store was
                replaced meanwhile.
        """
        # two threads may both open a shard: either map serves
        shard = self._opened[number]
        if shard is None:
            shard = self._opened[number] = self._open_listed(*self._sources[number])
        return shard

    def _open_listed(self, opened: OpenedHeader, info: ShardInfo) -> MappedShard:
        """Open a shard and hold it against its header."""
        try:
            shard = MappedShard(opened.folder / info.name, info.num_bytes)
            refuse_differences(opened.header, info, shard)
            check_when_opened(opened.header, info, shard)
        finally:
            opened.check()  # once the shard is open, or is not there: it may come from another one
        return shard

    def repeated_id(self) -> str | None:
        """Return an id that two of the stores opened as one have: a read finds one of them only.

        Looks up the ids of all stores but the largest; None for a single store.
        """
        largest = max(self._headers, key=lambda opened: opened.header.num_utterances)
        for number, (opened, info) in enumerate(self._sources):
            others = [
                other
                for other, (elsewhere, there) in enumerate(self._sources)
                if elsewhere is not opened
                and there.first_id <= info.last_id
                and info.first_id <= there.last_id
            ]
            if opened is largest or not others:
                continue
            for one in self.open_shard(number).ids():
                if any(self.open_shard(other).find(one) is not None for other in others):
                    return one
        return None

    def close(self) -> None:
        """Let go of the maps; a later read opens anew."""
        self._opened = [None] * len(self._sources)

    def _find(self, utterance_id: str) -> tuple[int, MappedShard, int] | None:
        place = bisect_right(self._first_ids, utterance_id) - 1
        while place >= 0 and self._reach[place] >= utterance_id:
            number = self._by_first_id[place]
            shard = self._opened[number] or self.open_shard(number)
            row = shard.find(utterance_id)
            if row is not None:
                return number, shard, row
            place -= 1
        return None
