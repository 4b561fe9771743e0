"""Which rows share a shard, and what the shard is called: pure functions of the rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b, sha256
from itertools import accumulate, groupby, pairwise
from math import inf, log

from featbank.errors import StoreError
from featbank.store.format import NO_DIGEST

_INDEX_BYTES = 32  # a row's share of offsets, id_offsets and input_digests


def row_bytes(utterance_id: str, value_bytes: int) -> int:
    """Return what a row weighs in a shard: its values, its id and its entries in the index.

    >>> row_bytes("a-01", 320)
    356
    """
    return value_bytes + len(utterance_id.encode()) + _INDEX_BYTES


def plan_shards(rows: Sequence[tuple[str, str, int]], target_bytes: int) -> list[range]:
    """Cut rows into shards by their content, so that an added row moves a cut or two and no more.

    The gap after each row draws a priority from a hash of the row; a span of rows that weighs more
    than twice the target is cut at the gap of smallest priority in it, and both sides likewise. The
    spans are those of a treap (Seidel and Aragon, 1996), which no order of insertion can change. A
    priority is exponential with the row's weight as its rate, so that every byte is equally likely
    to be cut at, and shards come out alike whether rows are long or short.

    Args:
        rows: (part, id, nominal bytes), sorted by (part, id); a shard holds rows of one part.
        target_bytes: a shard weighs at most twice this, unless it is a single row.

    Returns:
        One range of row indices a shard, in order; together they are all the rows.

    Raises:
        StoreError: the rows are not in order, one is there twice, or the target is not positive.
    """
    if target_bytes < 1:
        raise StoreError("target size of a shard", expected="at least 1 byte", got=target_bytes)
    for previous, row in pairwise(rows):
        if previous[:2] >= row[:2]:
            raise StoreError(
                f"row {row[1]!r} of part {row[0]!r}",
                expected=f"after {previous[1]!r} of part {previous[0]!r}",
                got="before it or twice",
            )
    ranges: list[range] = []
    for _, group in groupby(range(len(rows)), key=lambda index: rows[index][0]):
        part = list(group)
        ranges += _plan_part(rows, range(part[0], part[-1] + 1), 2 * target_bytes)
    return ranges


def shard_name(fingerprint: str, rows: Sequence[tuple[str, bytes]]) -> str:
    """Name a shard by what it is made from, which is known before any value is computed.

    Args:
        fingerprint: of the store.
        rows: (id, input digest) of the shard's rows, in order; an empty digest is one not stated.

    >>> shard_name("f", [("a", b"")])
    '3ba91dcf85705fe4.h5'
    """
    made_from = sha256()
    for text, input_digest in ((fingerprint, b""), *rows):
        encoded = text.encode()
        made_from.update(len(encoded).to_bytes(8, "little") + encoded)
        made_from.update(input_digest or NO_DIGEST)
    return made_from.hexdigest()[:16] + ".h5"


def _priority(part: str, utterance_id: str, weight: int) -> float:
    """Draw -ln(u) / weight, u uniform in (0, 1] from a hash: small where a cut is preferred."""
    if weight <= 0:
        return inf
    key = blake2b(f"{part}\0{utterance_id}".encode(), digest_size=8).digest()
    uniform = ((int.from_bytes(key, "little") >> 11) + 1) / 2**53
    return -log(uniform) / weight


def _plan_part(rows: Sequence[tuple[str, str, int]], part: range, cap: int) -> list[range]:
    """Cut the rows of one part, in one pass with a stack of open spans."""
    weight_before = [0, *accumulate(rows[index][2] for index in part)]
    last_gap = len(part) - 1  # gap i lies between row i and row i + 1; this one is the end
    cuts: list[int] = []
    open_gaps: list[tuple[int, int, float]] = []  # (gap, first row of its span, priority), rising
    for gap in range(len(part)):
        # the end closes every span
        priority = _priority(*rows[part[gap]]) if gap < last_gap else -inf
        first_row = gap
        while open_gaps and open_gaps[-1][2] > priority:
            closed, first_row, _ = open_gaps.pop()
            # `closed` has the smallest priority of the gaps between the rows first_row .. gap
            if weight_before[gap + 1] - weight_before[first_row] > cap:
                cuts.append(closed + 1)
        open_gaps.append((gap, first_row, priority))
    edges = [0, *sorted(cuts), len(part)]
    return [part[start:stop] for start, stop in pairwise(edges)]
