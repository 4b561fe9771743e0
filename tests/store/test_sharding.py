"""Shards are cut by content, within a cap, and named by what they are made from."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from featbank.errors import StoreError
from featbank.store import plan_shards, shard_name

Row = tuple[str, str, int]

KEYS = st.tuples(st.sampled_from(["", "a", "b"]), st.text(max_size=4))
ROWS = st.dictionaries(KEYS, st.integers(0, 300)).map(
    lambda sizes: [(*key, size) for key, size in sorted(sizes.items())]
)


def contents(rows: Sequence[Row], target: int) -> set[tuple[Row, ...]]:
    return {tuple(rows[plan.start : plan.stop]) for plan in plan_shards(rows, target)}


def priority(row: Row) -> float:
    part, utterance_id, size = row
    uniform = ((xxh3_64_intdigest(f"{part}\0{utterance_id}".encode()) >> 11) + 1) / 2**53
    return -log(uniform) / size if size else inf


def by_recursion(rows: Sequence[Row], start: int, stop: int, cap: int) -> list[range]:
    """The definition of the cut, one span at a time."""
    if stop - start < 2 or sum(row[2] for row in rows[start:stop]) <= cap:
        return [range(start, stop)]
    cut = (
        min(
            range(start, stop - 1),
            key=lambda gap: priority(rows[gap]),
        )
        + 1
    )
    return by_recursion(rows, start, cut, cap) + by_recursion(rows, cut, stop, cap)


@given(ROWS, st.integers(1, 400))
def test_a_plan_is_a_partition_in_order_within_parts_and_the_cap(
    rows: Sequence[Row], target: int
) -> None:
    plans = plan_shards(rows, target)
    assert [index for plan in plans for index in plan] == list(range(len(rows)))
    for plan in plans:
        shard = rows[plan.start : plan.stop]
        assert len({part for part, _, _ in shard}) == 1
        assert len(shard) == 1 or sum(size for _, _, size in shard) <= 2 * target


@given(ROWS, st.integers(1, 400))
def test_one_pass_gives_the_cuts_of_the_recursive_definition(
    rows: Sequence[Row], target: int
) -> None:
    expected = []
    for part in ("", "a", "b"):
        where = [index for index, row in enumerate(rows) if row[0] == part]
        if where:
            expected += by_recursion(rows, where[0], where[-1] + 1, 2 * target)
    assert plan_shards(rows, target) == expected


def corpus(rng: np.random.Generator, num_rows: int) -> list[Row]:
    sizes = rng.lognormal(12, 0.6, num_rows)
    return sorted(("", f"{rng.integers(1 << 60):015x}", int(size)) for size in sizes)


def test_shards_are_near_the_target() -> None:
    rows = corpus(np.random.default_rng(0), 5000)
    total = sum(size for _, _, size in rows)
    assert 40 <= len(plan_shards(rows, total // 50)) <= 75


def test_an_added_row_rewrites_one_shard_rarely_two() -> None:
    rng = np.random.default_rng(1)
    rows = corpus(rng, 3000)
    target = sum(size for _, _, size in rows) // 40
    before = contents(rows, target)
    rewritten = [
        len(contents(sorted([*rows, *corpus(rng, 1)]), target) - before) for _ in range(100)
    ]
    assert np.mean(rewritten) <= 1.1
    assert max(rewritten) <= 3


def test_a_new_part_leaves_the_shards_of_others_alone() -> None:
    rng = np.random.default_rng(2)
    old = [("2024", key, size) for _, key, size in corpus(rng, 500)]
    new = [("2025", key, size) for _, key, size in corpus(rng, 500)]
    target = sum(size for _, _, size in old) // 10
    assert contents(old, target) < contents(old + new, target)


def test_no_rows_need_no_shard() -> None:
    assert plan_shards([], 100) == []


@pytest.mark.parametrize("rows", [[("", "b", 1), ("", "a", 1)], [("", "a", 1), ("", "a", 2)]])
def test_rows_out_of_order_or_twice_are_refused(rows: Sequence[Row]) -> None:
    with pytest.raises(StoreError, match="before it or twice"):
        plan_shards(rows, 100)


def test_a_target_of_nothing_is_refused() -> None:
    with pytest.raises(StoreError, match="at least 1 byte"):
        plan_shards([], 0)


def test_a_shards_name_tells_ids_digests_and_fingerprints_apart() -> None:
    digest = bytes(range(16))
    names = [
        shard_name("f", ["a", "b"], [digest, digest]),
        shard_name("f", ["a", "b"], [digest, bytes(16)]),
        shard_name("f", ["ab"], [digest]),
        shard_name("f", ["a"], [digest]),
        shard_name("g", ["a"], [digest]),
    ]
    assert len(set(names)) == len(names)
    assert shard_name("f", ["a"], [b""]) == shard_name("f", ["a"], [bytes(16)])
