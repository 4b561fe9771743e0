"""How much of a store other layouts would rewrite, on paper: `python -m benchmarks.layouts`.

One utterance in a hundred is new. Ids are a speaker and a number; rows weigh as features do.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from rich.console import Console
from xxhash import xxh3_64_intdigest

from benchmarks.bars import Report
from featbank.store import plan_shards, row_bytes

Planned = tuple[str, str, int]  # part, id, bytes
Layout = Callable[[Sequence[Planned], int], Mapping[tuple[str, ...], int]]

_OF_SPEAKER = 100
_SHARE = 100  # one new row in so many
_ROWS_OF_SHARD = (1000, 250, 64, 16, 4)


def main(num_rows: int = 100_000) -> int:
    """Print the table; it has no bar."""
    layouts_on_paper(num_rows).print(Console(width=None if sys.stdout.isatty() else 120))
    return 0


def layouts_on_paper(num_rows: int) -> Report:
    """Return the shares of bytes in shards that did not exist before, by layout and kind of growth.

    Args:
        num_rows: before the growth: ten thousand or more.
    """
    rng = np.random.default_rng(7)
    num_speakers, num_new = num_rows // _OF_SPEAKER, num_rows // _SHARE
    old = _rows(rng, [f"s{n // _OF_SPEAKER:05d}-{n % _OF_SPEAKER:04d}0" for n in range(num_rows)])
    spread = _rows(rng, [f"s{n:05d}-{n % _OF_SPEAKER:04d}5" for n in range(num_new)])
    chosen = rng.permutation(num_speakers)[: num_new // 10]
    sessions = _rows(rng, [f"s{one:05d}-90{n:02d}0" for one in chosen for n in range(10)])
    speakers = _rows(
        rng, [f"s{one:05d}a-{n:04d}0" for one in chosen[:10] for n in range(num_new // 10)]
    )
    last = _rows(rng, [f"t-{n:04d}0" for n in range(num_new)])
    part = [("2", one, weight) for _, one, weight in spread]
    layouts: dict[str, Layout] = {
        "featbank's": _by_treap,
        "in order of hashes": _in_order_of_hashes,
        "bucket of a hash": _by_bucket,
        "every so many bytes": _by_bytes,
    }
    report = Report(
        f"Layouts: bytes in new shards / all, 1 % of {num_rows:,} new",
        ["rows a shard", "layout", "spread", "sessions of 10", "10 speakers", "last ids", "a part"],
    )
    num_bytes = sum(weight for _, _, weight in old)
    for per_shard in _ROWS_OF_SHARD:
        target = num_bytes * per_shard // num_rows
        for name, layout in layouts.items():
            before = layout(old, target)
            shares = []
            for new in (spread, sessions, speakers, last, part):
                after = layout([*old, *new], target)
                changed = sum(size for shard, size in after.items() if shard not in before)
                shares.append(changed / sum(after.values()))
            report.rows.append([per_shard, name, *shares])
    return report


def _rows(rng: np.random.Generator, ids: Sequence[str]) -> list[Planned]:
    sizes = rng.lognormal(12, 0.6, len(ids)).astype(int).tolist()
    return [("", one, row_bytes(one.encode(), size)) for one, size in zip(ids, sizes, strict=True)]


def _by_treap(rows: Sequence[Planned], target: int) -> dict[tuple[str, ...], int]:
    rows = sorted(rows)
    return {
        tuple(rows[i][1] for i in plan): sum(rows[i][2] for i in plan)
        for plan in plan_shards(rows, target)
    }


def _in_order_of_hashes(rows: Sequence[Planned], target: int) -> dict[tuple[str, ...], int]:
    return _by_treap([(part, f"{_hash(one):016x}", weight) for part, one, weight in rows], target)


def _by_bucket(rows: Sequence[Planned], target: int) -> dict[tuple[str, ...], int]:
    """Of a number of shards that is a power of two, so that growth changes it seldom."""
    of_parts: dict[str, list[Planned]] = defaultdict(list)
    for row in rows:
        of_parts[row[0]].append(row)
    shards: dict[tuple[str, int], list[Planned]] = defaultdict(list)
    for part, those in of_parts.items():
        number = 1 << max(0, round(math.log2(sum(weight for _, _, weight in those) / target)))
        for row in those:
            shards[part, _hash(row[1]) % number].append(row)
    return {
        tuple(sorted(one for _, one, _ in shard)): sum(weight for _, _, weight in shard)
        for shard in shards.values()
    }


def _by_bytes(rows: Sequence[Planned], target: int) -> dict[tuple[str, ...], int]:
    shards: dict[tuple[str, ...], int] = {}
    waiting: list[Planned] = []
    for row in sorted(rows):
        if waiting and (waiting[0][0] != row[0] or sum(w for _, _, w in waiting) >= target):
            shards[tuple(one for _, one, _ in waiting)] = sum(w for _, _, w in waiting)
            waiting = []
        waiting.append(row)
    shards[tuple(one for _, one, _ in waiting)] = sum(w for _, _, w in waiting)
    return shards


def _hash(one: str) -> int:
    return xxh3_64_intdigest(one.encode())


if __name__ == "__main__":
    sys.exit(main())
