"""Open shards elsewhere: each by one request, for all that stands before its values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256

from featbank.errors import StoreError
from featbank.store.remote.cache import ShardCache
from featbank.store.remote.client import RemoteClient
from featbank.store.remote.headers import RemoteHeader
from featbank.store.remote.ranges import ByteRange
from featbank.store.remote.rows import RowFetcher, comes_whole
from featbank.store.remote.shard import RemoteShard
from featbank.store.shard_info import ShardInfo
from featbank.store.soundness import check_when_opened, refuse_differences

_AT_ONCE_BYTES = 64 << 20
_TRIES = 3

Listed = tuple[RemoteHeader, ShardInfo, int]
"""A shard: the header that lists it, how, and its number among all."""


class HeadFetcher:
    """Opens the shards of one store.

    Args:
        client: reads it.
        cache: of shards.
        rows: fetches their rows.
    """

    def __init__(self, client: RemoteClient, cache: ShardCache, rows: RowFetcher) -> None:
        self._client = client
        self._cache = cache
        self._rows = rows

    def open(self, listed: Sequence[Listed]) -> list[RemoteShard]:
        """Open shards, all that is not in the cache at once.

        Raises:
            StoreError: one cannot be had, is not as the header says, or the store was replaced.
        """
        found = {one[2]: self._cached(one) for one in listed}
        for group in _groups([one for one in listed if found[one[2]] is None]):
            found.update(self._fetched(group))
        return [shard for shard in found.values() if shard is not None]

    def _cached(self, one: Listed) -> RemoteShard | None:
        if not self._cache.has_head(one[1]):
            return None
        with suppress(StoreError):  # it is damaged on this disk, or just gone
            return self._opened(one)
        self._cache.drop_head(one[1])
        return None

    def _fetched(self, group: Sequence[Listed]) -> Iterator[tuple[int, RemoteShard]]:
        bodies = self._client.fetch([_head_range(one) for one in group])
        for one, first in zip(group, bodies, strict=True):
            opened, info, number = one
            body = first
            if not isinstance(body, StoreError) and not _is_sound(one, body):
                # it may have broken on its way
                [body] = self._client.fetch([_head_range(one)])
                if not isinstance(body, StoreError) and not _is_sound(one, body):
                    body = StoreError(
                        f"shard {self._client.place.named(opened.name(info.name))}",
                        expected=f"digest {info.digest}",
                        got="another, twice",
                        hint="it is damaged where it lies",
                    )
            if isinstance(body, StoreError):
                opened.check()
                raise body
            shard = self._kept(one, memoryview(body)[: _head_bytes(one)])
            if len(body) > _head_bytes(one):
                values = memoryview(body)[info.values_start :]
                self._cache.write(info, shard.row_bytes_before, [(range(len(shard)), values)])
            yield number, shard

    def _kept(self, one: Listed, head: memoryview) -> RemoteShard:
        """Open a shard by a head that is sound; others may remove it from the cache meanwhile."""
        for _ in range(_TRIES):
            self._cache.put_head(one[1], head)
            with suppress(StoreError):
                return self._opened(one)
            self._cache.drop_head(one[1])
        self._cache.put_head(one[1], head)
        return self._opened(one)

    def _opened(self, one: Listed) -> RemoteShard:
        opened, info, number = one
        name = opened.name(info.name)
        shard = RemoteShard(
            self._cache.head(info),
            opened.header,
            info,
            number=number,
            name=name,
            fetcher=self._rows,
            where=f"shard {self._client.place.named(name)}",
        )
        refuse_differences(opened.header, info, shard)
        check_when_opened(opened.header, info, shard)
        return shard


def _head_bytes(one: Listed) -> int:
    """Return how much stands before the values; all of a shard that has none behind the rest."""
    opened, info, _ = one
    values_bytes = info.num_frames * opened.header.frame_bytes
    is_last = info.values_start and info.values_start + values_bytes == info.num_bytes
    return info.values_start if is_last else info.num_bytes


def _head_range(one: Listed) -> ByteRange:
    opened, info, _ = one
    stop = info.num_bytes if comes_whole(info) else _head_bytes(one)
    return ByteRange(name=opened.name(info.name), start=0, stop=stop)


def _is_sound(one: Listed, body: bytes) -> bool:
    """Tell whether a head is the one that the header vouches for, before anybody parses it."""
    opened, info, _ = one
    values_bytes = info.num_frames * opened.header.frame_bytes if info.values_start else 0
    view = memoryview(body)
    found = sha256(view[: info.values_start])
    found.update(view[info.values_start + values_bytes :])
    return found.hexdigest() == info.digest


def _groups(listed: Sequence[Listed]) -> Iterator[list[Listed]]:
    """Cut shards into groups whose heads are in memory together."""
    group: list[Listed] = []
    num_bytes = 0
    for one in listed:
        size = _head_range(one).stop or 0
        if group and num_bytes + size > _AT_ONCE_BYTES:
            yield group
            group, num_bytes = [], 0
        group.append(one)
        num_bytes += size
    if group:
        yield group
