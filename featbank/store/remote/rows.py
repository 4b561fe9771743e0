"""Fetch rows of shards: out of the cache, else in few requests, and none that is not as written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from featbank.errors import StoreError
from featbank.store.remote.cache import ShardCache
from featbank.store.remote.client import RemoteClient
from featbank.store.remote.ranges import Bodies, ByteRange
from featbank.store.shard_info import ShardInfo

_SMALL_SHARD_BYTES = 8 << 20
_LEAST_BYTES = 16 << 10  # of a request: rows behind small ones come with them
_GAP_BYTES = 16 << 10  # between rows that are fetched at once
_MOST_BYTES = 8 << 20  # of a request with several rows


def comes_whole(info: ShardInfo) -> bool:
    """Tell whether a shard is fetched as a whole: small ones of small rows, as of tokens, are."""
    is_small = info.num_bytes <= _SMALL_SHARD_BYTES
    return is_small and info.num_bytes < _LEAST_BYTES * info.num_utterances


class RowKey(NamedTuple):
    """A row of a store: the number of its shard, and its number there."""

    shard: int
    row: int


class RemoteRows(Protocol):
    """What is known of the rows of a shard before any value is here."""

    @property
    def info(self) -> ShardInfo:
        """What the header lists of the shard."""

    @property
    def name(self) -> str:
        """Name of its file, below the client's place."""

    @property
    def number(self) -> int:
        """Number of the shard in the store."""

    @property
    def row_bytes_before(self) -> npt.NDArray[np.int64]:
        """First byte of each row in the values, then the total: (num_rows + 1,)."""

    def key(self, row: int) -> RowKey:
        """Return the key of a row, which no other row of the store has."""

    def id(self, row: int) -> str:
        """Return the id of a row."""

    def checksum(self, row: int) -> int:
        """Return the XXH3-64 that a row had when it was written."""

    def damaged(self, expected: str, got: object) -> StoreError:
        """Return the error that says what is wrong with the shard."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Consecutive rows of a shard, which one request asks for."""

    shard: RemoteRows
    rows: range

    @property
    def num_bytes(self) -> int:
        before = self.shard.row_bytes_before
        return int(before[self.rows.stop] - before[self.rows.start])

    @property
    def range(self) -> ByteRange:
        before, start = self.shard.row_bytes_before, self.shard.info.values_start
        return ByteRange(
            name=self.shard.name,
            start=start + int(before[self.rows.start]),
            stop=start + int(before[self.rows.stop]),
        )


_Missing = Mapping[RowKey, tuple[RemoteRows, int]]
_Asked = tuple[list[_Span], Bodies]


class RowFetcher:
    """Rows of the shards of one folder, as their checksums say that they were written.

    Args:
        client: reads the folder.
        cache: of shards.
        check: told the number of a shard that is not as it was, it refuses a store that was
            replaced; what it lets pass is damage.
    """

    def __init__(
        self, client: RemoteClient, cache: ShardCache, check: Callable[[int], None]
    ) -> None:
        self._client = client
        self._cache = cache
        self._check = check
        # by shard: the row behind the last request, and how much the next one brings at least
        self._ahead: dict[int, tuple[int, int]] = {}

    def fetch(self, wanted: Sequence[tuple[RemoteRows, int]]) -> list[memoryview]:
        """Return the bytes of rows, in the order given; one may be asked for twice.

        They may be parts of one body, all of which is kept by who keeps one of them.

        Raises:
            StoreError: one cannot be had, or not as it was written.
        """
        return self.start(wanted).wait()

    def start(
        self, wanted: Sequence[tuple[RemoteRows, int]], *, is_ahead: bool = False
    ) -> RowsUnderWay:
        """Ask for rows, and wait for none of them; see `fetch`.

        Args:
            wanted: shards, and rows of them.
            is_ahead: whether what follows will be asked for before these are here, so that nothing
                large is fetched with them that may be read next.
        """
        found = self._cached(wanted)
        missing = {
            shard.key(row): (shard, row) for shard, row in wanted if shard.key(row) not in found
        }
        return RowsUnderWay(self, wanted, found, missing, self._ask(missing, is_ahead))

    def _cached(self, wanted: Sequence[tuple[RemoteRows, int]]) -> dict[RowKey, memoryview]:
        by_shard: dict[int, tuple[RemoteRows, set[int]]] = {}
        for shard, row in wanted:
            by_shard.setdefault(shard.number, (shard, set()))[1].add(row)
        found: dict[RowKey, memoryview] = {}
        for shard, rows in by_shard.values():
            before = shard.row_bytes_before
            filled = {row for row in rows if before[row] < before[row + 1]}
            found |= {shard.key(row): memoryview(b"") for row in rows - filled}
            kept = self._cache.read(shard.info, before, sorted(filled))
            wrong = [row for row, data in kept.items() if not _is_sound(shard, row, data)]
            if wrong:  # damaged on this disk, or a hole
                self._cache.forget(shard.info, before, wrong)
            found |= {
                shard.key(row): memoryview(data) for row, data in kept.items() if row not in wrong
            }
        return found

    def receive(self, missing: _Missing, asked: _Asked) -> dict[RowKey, memoryview]:
        """Wait for rows that were asked for.

        Args:
            missing: what is wanted of them.
            asked: the requests.

        Raises:
            StoreError: as of `fetch`.
        """
        found = self._receive_once(missing, asked)
        if again := {key: one for key, one in missing.items() if key not in found}:
            # a body may break on its way; one that comes twice is what lies there
            found |= self._receive_once(again, self._ask(again, is_ahead=True))
        for key, (shard, row) in missing.items():
            if key not in found:
                self._check(key.shard)
                raise shard.damaged(f"the values of {shard.id(row)!r} as written", "others, twice")
        return found

    def _ask(self, missing: _Missing, is_ahead: bool) -> _Asked:
        spans = [self._widened(span, is_ahead) for span in _spans(missing)]
        return spans, self._client.start([span.range for span in spans])

    def _widened(self, span: _Span, is_ahead: bool) -> _Span:
        """Add rows behind those of a small request, the more the longer they are read in order."""
        shard, start, stop = span.shard, span.rows.start, span.rows.stop
        before = shard.row_bytes_before
        if comes_whole(shard.info):
            return _Span(shard, range(len(before) - 1))
        number = shard.number
        row, least = self._ahead.get(number, (-1, 0))
        grows = row == start and self._cache.keeps_rows and not is_ahead
        least = min(4 * least, _MOST_BYTES) if grows else _LEAST_BYTES
        if before[stop] - before[start] < least:
            widest = int(np.searchsorted(before, before[start] + least, "right")) - 1
            stop = min(max(stop, widest), len(before) - 1)
        self._ahead[number] = stop, least
        return _Span(shard, range(start, stop))

    def _receive_once(self, missing: _Missing, asked: _Asked) -> dict[RowKey, memoryview]:
        """Return those rows that are as written."""
        spans, bodies = asked
        found: dict[RowKey, memoryview] = {}
        kept: dict[int, list[tuple[range, memoryview]]] = defaultdict(list)
        shards: dict[int, RemoteRows] = {}
        for span, body in zip(spans, bodies.wait(), strict=True):
            shard = span.shard
            number = shard.number
            if isinstance(body, StoreError):
                self._check(number)
                raise body
            data = memoryview(body).toreadonly()
            before = shard.row_bytes_before
            first = int(before[span.rows.start])
            is_sound = True
            for row in span.rows:
                part = data[int(before[row]) - first : int(before[row + 1]) - first]
                if not _is_sound(shard, row, part):
                    is_sound = False
                elif (key := shard.key(row)) in missing:
                    found[key] = part
            if is_sound and self._cache.keeps_rows:
                kept[number].append((span.rows, data))
                shards[number] = shard
        for number, parts in kept.items():
            self._cache.write(shards[number].info, shards[number].row_bytes_before, parts)
        return found


class RowsUnderWay:
    """Rows that were asked for: those of the cache are here, the others may be.

    Args:
        fetcher: that asked.
        wanted: in their order.
        found: those that are here.
        missing: the others.
        asked: the requests for them.
    """

    def __init__(
        self,
        fetcher: RowFetcher,
        wanted: Sequence[tuple[RemoteRows, int]],
        found: dict[RowKey, memoryview],
        missing: _Missing,
        asked: _Asked,
    ) -> None:
        self._fetcher = fetcher
        self._wanted = wanted
        self._found = found
        self._missing = missing
        self._asked = asked

    @property
    def num_bytes(self) -> int:
        """Bytes of memory that they take, or will."""
        here = sum(len(data) for data in self._found.values())
        return here + sum(span.num_bytes for span in self._asked[0])

    def wait(self) -> list[memoryview]:
        """Return the bytes of all of them, in the order in which they were wanted.

        Raises:
            StoreError: one cannot be had, or not as it was written.
        """
        found = self._found
        if self._missing:
            found = found | self._fetcher.receive(self._missing, self._asked)
        return [found[shard.key(row)] for shard, row in self._wanted]

    def cancel(self) -> None:
        """Wait for none of them any more."""
        self._asked[1].cancel()


def _is_sound(shard: RemoteRows, row: int, data: bytes | memoryview) -> bool:
    return xxh3_64_intdigest(data) == shard.checksum(row)


def _spans(missing: _Missing) -> Iterator[_Span]:
    """Join rows that lie near each other to what is asked for at once."""
    shard: RemoteRows | None = None
    start = stop = 0
    for key in sorted(missing):
        owner, row = missing[key]
        before = owner.row_bytes_before
        if (
            owner is shard
            and before[row] - before[stop] <= _GAP_BYTES
            and before[row + 1] - before[start] <= _MOST_BYTES
        ):
            stop = max(stop, row + 1)
        else:
            if shard is not None:
                yield _Span(shard, range(start, stop))
            shard, start, stop = owner, row, row + 1
    if shard is not None:
        yield _Span(shard, range(start, stop))
