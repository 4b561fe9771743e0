"""Read a store that lies elsewhere, such as in a bucket: heads and rows as they are asked for."""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from featbank.base.failures import Failure, read_failures
from featbank.errors import FeatbankError, StoreError
from featbank.store.encoding import Array
from featbank.store.format import FAILURES_NAME
from featbank.store.mapped import MappedShard
from featbank.store.reader import Located, Store, in_order_of_axes
from featbank.store.remote.cache import ShardCache
from featbank.store.remote.client import Persistence, RemoteClient
from featbank.store.remote.elsewhere import Elsewhere
from featbank.store.remote.headers import RemoteHeader, open_headers
from featbank.store.remote.heads import HeadFetcher
from featbank.store.remote.ranges import ByteRange
from featbank.store.remote.rows import RowFetcher, RowsUnderWay
from featbank.store.remote.shard import RemoteShard
from featbank.store.stamps import replaced
from featbank.store.verify import Damage

_PIECE_BYTES = 8 << 20  # of rows that are asked for and looked at together
_PIECE_ROWS = 1024
_AHEAD_BYTES = 64 << 20  # of the pieces that are under way: 16 requests of 4 MiB
_AHEAD_PIECES = 16  # of small rows
_HEADS_AHEAD = 32


def open_remote(
    place: Elsewhere,
    splits: str | Sequence[str] | None = None,
    *,
    cache_bytes: int | None = None,
    persistence: Persistence | None = None,
) -> RemoteStore:
    """Open a store elsewhere; see `open_store`.

    Args:
        place: of the store, or of a folder of its splits.
        splits: those that are read; all by default.
        cache_bytes: of this disk that the cache may take; see `ShardCache`.
        persistence: with the server.

    Raises:
        StoreError: as of `open_store`.
    """
    return RemoteStore(place, splits, cache_bytes=cache_bytes, persistence=persistence)


class RemoteStore(Store):
    """A store elsewhere, read as any other: arrays are copies, each held against its checksum."""

    def __init__(
        self,
        place: Elsewhere,
        splits: str | Sequence[str] | None = None,
        *,
        cache_bytes: int | None = None,
        persistence: Persistence | None = None,
    ) -> None:
        """Open; see `open_remote`."""
        self.storage_path = place.url
        if splits is None:
            self.chosen_splits = None
        else:
            self.chosen_splits = (splits,) if isinstance(splits, str) else tuple(splits)
        self._made_with = cache_bytes, persistence
        self._client = RemoteClient(place, persistence or Persistence())
        self._remote, self.header = open_headers(self._client, self.chosen_splits)
        self._headers = [*self._remote]
        self._owners = [opened for opened in self._remote for _ in opened.header.shards]
        self._last_ids = [info.last_id for info in self.shards]
        cache = ShardCache(cache_bytes)
        owners = self._owners
        rows = RowFetcher(self._client, cache, lambda number: owners[number].check())
        self._row_fetcher = rows
        self._head_fetcher = HeadFetcher(self._client, cache, rows)
        self._begin()

    @property
    def num_requests(self) -> int:
        """Requests that this process has sent for this store."""
        return self._client.num_requests

    def refuse_misplaced(self) -> None:
        """Do nothing: it was held against what its folder states as it was opened."""

    def choose(self, splits: str | Sequence[str]) -> RemoteStore:
        """Open some of its splits alone; see `Store.choose`."""
        cache_bytes, persistence = self._made_with
        return RemoteStore(
            self._client.place, splits, cache_bytes=cache_bytes, persistence=persistence
        )

    def open_shard(self, number: int) -> MappedShard:
        """Return the shard that `shards[number]` lists; see `Store.open_shard`.

        Who opens one after the other gets those that follow in the same round of requests.
        """
        if (shard := self._opened[number]) is None:
            is_next = number > 0 and self._opened[number - 1] is not None
            stop = number + (_HEADS_AHEAD if is_next else 1)
            self._open_all(range(number, min(stop, len(self._opened))))
            shard = self._opened[number]
            assert shard is not None
        return shard

    def read_many(self, utterance_ids: Iterable[str]) -> Iterator[Array]:
        """Read utterances in the order that is given; see `Store.read_many`.

        Some 64 MiB are under way while a piece of 8 MiB is looked at, so that the line is never
        idle for what is done with the rows, their checksums and the cache.
        """
        under_way: deque[tuple[Sequence[Located], RowsUnderWay]] = deque()
        try:
            for places in self._pieces(utterance_ids):
                under_way.append((places, self._row_fetcher.start(_rows_at(places), is_ahead=True)))
                while _is_enough([rows for _, rows in under_way]):
                    yield from map(self._as_read, _decoded(*under_way.popleft()))
            while under_way:
                yield from map(self._as_read, _decoded(*under_way.popleft()))
        finally:
            for _, rows in under_way:
                rows.cancel()

    @property
    def failures(self) -> list[Failure]:
        """The utterances that should be here and failed, as the failure lists have them.

        Raises:
            StoreError: a list is damaged, or the store was replaced after it was opened.
        """
        return [one for opened in self._remote for one in _failures(self._client, opened)]

    def verify(self, advance: Callable[[int], object] = lambda _: None) -> list[Damage]:  # noqa: ARG002
        """Refuse: every byte would have to be fetched.

        Raises:
            StoreError: always.
        """
        raise StoreError(
            f"store {self.storage_path}",
            expected="one on this disk, to be verified",
            got="one elsewhere",
            hint="each row that is read is held against its checksum; fetch it to verify all of it",
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the place, and a digest that tells whether the same store is there then."""
        return _reopen, (self._client.place, self.chosen_splits, *self._made_with, self._digest())

    def _find(self, utterance_id: str) -> Located | None:
        for number in self._candidates(utterance_id):
            shard = self._opened[number] or self.open_shard(number)
            if (row := shard.find(utterance_id)) is not None:
                return number, shard, row
        return None

    def _candidates(self, utterance_id: str) -> Iterator[int]:
        """Give the shards that may hold an id: one, unless parts or splits overlap."""
        place = bisect_right(self._first_ids, utterance_id) - 1
        while place >= 0 and self._reach[place] >= utterance_id:
            if self._last_ids[number := self._by_first_id[place]] >= utterance_id:
                yield number
            place -= 1

    def _locate_all(self, utterance_ids: Iterable[str]) -> list[Located]:
        ids = list(utterance_ids)
        self._open_all({n for one in ids if isinstance(one, str) for n in self._candidates(one)})
        return super()._locate_all(ids)

    def _open_all(self, numbers: Iterable[int]) -> None:
        """Open shards in one round of requests for all those whose heads are not in the cache."""
        wanted = [number for number in sorted(numbers) if self._opened[number] is None]
        opened = self._head_fetcher.open([(self._owners[n], self.shards[n], n) for n in wanted])
        for number, shard in zip(wanted, opened, strict=True):
            self._opened[number] = shard

    def _rows(self, places: Sequence[Located]) -> Iterable[Array]:
        return _decoded(places, self._row_fetcher.start(_rows_at(places)))

    def _as_read(self, values: Array) -> Array:
        return in_order_of_axes(values, self.header.time_axis)

    def _pieces(self, utterance_ids: Iterable[str]) -> Iterator[list[Located]]:
        """Locate utterances, as many at a time as are fetched at once."""
        ids = iter(utterance_ids)
        places: list[Located] = []
        num_bytes = 0
        while some := list(islice(ids, _PIECE_ROWS)):
            for number, shard, row in self._locate_all(some):
                row_bytes = len(shard.frames(row)) * self.header.frame_bytes
                is_full = num_bytes + row_bytes > _PIECE_BYTES or len(places) == _PIECE_ROWS
                if places and is_full:
                    yield places
                    places, num_bytes = [], 0
                places.append((number, shard, row))
                num_bytes += row_bytes
        if places:
            yield places


def _is_enough(under_way: Sequence[RowsUnderWay]) -> bool:
    """Tell whether to wait for the first piece: not for the only one, however large its row is."""
    return len(under_way) > 1 and (
        len(under_way) > _AHEAD_PIECES or sum(one.num_bytes for one in under_way) > _AHEAD_BYTES
    )


def _rows_at(places: Sequence[Located]) -> list[tuple[RemoteShard, int]]:
    found = []
    for _, shard, row in places:
        assert isinstance(shard, RemoteShard)
        found.append((shard, row))
    return found


def _decoded(places: Sequence[Located], under_way: RowsUnderWay) -> Iterator[Array]:
    for (shard, row), data in zip(_rows_at(places), under_way.wait(), strict=True):
        yield shard.decoded(row, data)


def _reopen(
    place: Elsewhere,
    splits: tuple[str, ...] | None,
    cache_bytes: int | None,
    persistence: Persistence | None,
    expected: str,
) -> RemoteStore:
    """Open the store that was pickled, and no other."""
    store = RemoteStore(place, splits, cache_bytes=cache_bytes, persistence=persistence)
    if store._digest() != expected:
        raise replaced(f"store {place.url}")
    return store


def _failures(client: RemoteClient, opened: RemoteHeader) -> list[Failure]:
    stated = opened.header.failures_digest
    if not stated:
        return []
    name = opened.name(FAILURES_NAME)
    where = f"failure list {client.place.named(name)}"
    try:
        data = client.fetch_one(ByteRange(name=name))
    except StoreError:
        opened.check()
        raise
    if (found := sha256(data).hexdigest()) != stated:
        opened.check()
        raise StoreError(where, expected=f"digest {stated}", got=found)
    with tempfile.NamedTemporaryFile(prefix="featbank-") as file:
        file.write(data)
        file.flush()
        try:
            failures = read_failures(Path(file.name))
        except (FeatbankError, ValueError) as error:
            raise StoreError(where, expected="its rows", got=error) from error
    return failures
