"""Shuffled orders that are computed place by place."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from featbank.dataset.permutation import Permutation


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 63, 64, 65, 1000, 4097])
def test_each_number_comes_once(count: int) -> None:
    assert sorted(Permutation(count, "any key")) == list(range(count))


def test_order_follows_from_the_key_alone() -> None:
    assert list(Permutation(100, 1, 2)) == list(Permutation(100, 1, 2))
    assert list(Permutation(100, 1, 2)) != list(Permutation(100, 1, 3))


def test_orders_of_few_numbers_come_about_equally_often() -> None:
    times = Counter(tuple(Permutation(4, key)) for key in range(2400))
    assert len(times) == 24
    assert max(times.values()) < 2 * min(times.values())


def test_neighbours_do_not_stay_neighbours() -> None:
    order = list(Permutation(10_000, 7))
    assert sum(abs(after - before) == 1 for before, after in pairwise(order)) < 20


def test_a_place_in_a_trillion_is_found_without_a_list() -> None:
    order = Permutation(10**12, 0)
    assert 0 <= order[10**12 - 1] < 10**12
    assert order[-1] == order[10**12 - 1]
    with pytest.raises(IndexError):
        order[10**12]
