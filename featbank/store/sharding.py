"""Cut rows into shards and name these: both follow from the rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import groupby, pairwise
from math import inf, log

from xxhash import xxh3_64_intdigest

from featbank.errors import StoreError
from featbank.store.format import NO_DIGEST

_UNIT = 2.0**-53
_INDEX_BYTES = 52  # a row's share of row_starts, checksums, id_slots and input_digests


def row_bytes(key: bytes, value_bytes: int) -> int:
    """Return what a row weighs in a shard: its values, its id and its entries in the index.

    Args:
        key: the id in UTF-8.
        value_bytes: of its values.

    >>> row_bytes(b"a-01", 320)
    376
    """
    return value_bytes + len(key) + _INDEX_BYTES


def plan_shards(rows: Sequence[tuple[str, str, int]], target_bytes: int) -> list[range]:
    """Cut rows into shards by their content, so that an added row moves a cut or two and no more.

    Args:
        rows: (part, id, nominal bytes), sorted by (part, id); a shard holds rows of one part.
        target_bytes: a shard weighs at most twice this, unless it is a single row.

    Returns:
        One range of row indices a shard, in order; together they are all the rows.

    Raises:
        StoreError: the rows are not in order, one is there twice, or the target is not positive.
    """
    check_target(target_bytes)
    for previous, row in pairwise(rows):
        if previous[:2] >= row[:2]:
            raise StoreError(
                f"row {row[1]!r} of part {row[0]!r}",
                expected=f"after {previous[1]!r} of part {previous[0]!r}",
                got="before it or twice",
            )
    ranges: list[range] = []
    for part, group in groupby(range(len(rows)), key=lambda index: rows[index][0]):
        places = list(group)
        cutter = ShardCutter(part, target_bytes)
        cuts = cutter.extend((rows[index][1].encode(), rows[index][2]) for index in places)
        edges = [places[0], *(places[0] + cut for cut in cuts), places[-1] + 1]
        ranges += [range(start, stop) for start, stop in pairwise(edges)]
    return ranges


class ShardCutter:
    """Cuts the rows of one part as they come, in order of their ids.

    The gap after each row draws a priority from a hash of the row; a span of rows that weighs more
    than twice the target is cut at the gap of smallest priority in it, and both sides likewise. The
    spans are those of a treap (Seidel and Aragon, 1996), which no order of insertion can change. A
    priority is exponential with the row's weight as its rate, so that every byte is equally likely
    to be cut at, and shards come out alike whether rows are long or short.

    A cut is certain as soon as the span of its gap, which later rows can only widen, weighs enough:
    the rows behind the last cut never weigh more than twice the target.
    """

    def __init__(self, part: str, target_bytes: int) -> None:
        """Begin with no rows.

        Args:
            part: that the rows belong to.
            target_bytes: a shard weighs at most twice this, unless it is a single row.

        Raises:
            StoreError: it is not positive.
        """
        check_target(target_bytes)
        self._prefix = part.encode() + b"\0"
        self._cap = 2 * target_bytes
        self._num_rows = 0
        self._last_start = 0  # weight before the last row
        self._weight = 0
        self._last_priority = inf
        # of the spans that are still open, widest first: (gap, weight before its span, priority)
        self._open: list[tuple[int, int, float]] = []
        self._num_cut = 0  # of these, from the widest on

    def extend(self, rows: Iterable[tuple[bytes, int]]) -> list[int]:
        """Add the next rows.

        Args:
            rows: the id in UTF-8 and the weight of each.

        Returns:
            The rows before which a cut has become certain, rising; each number is given once.
        """
        # in local names, for this runs once for each of ten million rows
        prefix, cap, spans, cuts = self._prefix, self._cap, self._open, []
        num_rows, num_cut, weight = self._num_rows, self._num_cut, self._weight
        start, priority = self._last_start, self._last_priority
        for key, row_weight in rows:
            if num_rows:
                # the gap behind the last row ends all spans of greater priority
                while spans and spans[-1][2] > priority:
                    _, start, _ = spans.pop()
                if num_cut > len(spans):
                    num_cut = len(spans)
                spans.append((num_rows, start, priority))
            num_rows += 1
            start = weight
            weight += row_weight
            priority = (
                -log(((xxh3_64_intdigest(prefix + key) >> 11) + 1) * _UNIT) / row_weight
                if row_weight > 0
                else inf
            )
            # of the spans that are not cut the first is the widest
            while num_cut < len(spans) and weight - spans[num_cut][1] > cap:
                cuts.append(spans[num_cut][0])
                num_cut += 1
        self._num_rows, self._num_cut, self._weight = num_rows, num_cut, weight
        self._last_start, self._last_priority = start, priority
        return cuts


def shard_name(fingerprint: str, ids: Sequence[str], input_digests: Iterable[bytes]) -> str:
    """Name a shard by what it is made from, which is known before any value is computed.

    Args:
        fingerprint: of the store.
        ids: of the shard's rows, in order.
        input_digests: of these rows; an empty digest is one not stated.

    >>> shard_name("f", ["a"], [b""])
    'a00f681744eb712b.h5'
    """
    # no id holds a zero byte
    made_from = sha256("\0".join([str(len(ids)), fingerprint, *ids, ""]).encode())
    made_from.update(b"".join([one or NO_DIGEST for one in input_digests]))
    return made_from.hexdigest()[:16] + ".h5"


def check_target(target_bytes: int) -> None:
    """Refuse a target size of shards that is not positive.

    Raises:
        StoreError: it is not.
    """
    if target_bytes < 1:
        raise StoreError("target size of a shard", expected="at least 1 byte", got=target_bytes)
