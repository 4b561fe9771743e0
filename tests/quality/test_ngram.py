"""The n-gram weighs units as its formula says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from featbank.errors import FeatbankError
from featbank.quality.ngram import NgramModel, total_bits


def chance(train: list[list[int]], history: tuple[int, ...], unit: int, num_units: int) -> float:
    """Witten and Bell's recursion, by counting from the start for each unit."""
    padded = [[num_units] * len(history) + one for one in train]
    grams = [
        tuple(one[end - len(history) : end + 1])
        for one in padded
        for end in range(len(history), len(one))
    ]
    after = Counter(gram[-1] for gram in grams if gram[:-1] == history)
    shorter = chance(train, history[1:], unit, num_units) if history else 1 / num_units
    if not after:
        return shorter
    return (after[unit] + len(after) * shorter) / (after.total() + len(after))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_bits_are_those_of_the_recursion(order: int) -> None:
    rng = np.random.default_rng(0)
    train = [rng.integers(4, size=size).tolist() for size in (9, 1, 30)]
    held_out = rng.integers(5, size=20).tolist()  # 4 was never seen
    model = NgramModel([np.array(one) for one in train], 5, order)
    padded = [5] * (order - 1) + held_out
    expected = [
        -np.log2(chance(train, tuple(padded[place : place + order - 1]), unit, 5))
        for place, unit in enumerate(held_out)
    ]
    assert model.bits(np.array(held_out)) == pytest.approx(expected)
    assert sum(chance(train, tuple(padded[3 : 2 + order]), unit, 5) for unit in range(5)) == (
        pytest.approx(1)
    )


def test_what_can_be_foretold_costs_little_and_what_cannot_costs_log2_of_the_units() -> None:
    again = np.arange(8000) % 8
    assert total_bits([again], [again], num_units=8, order=2) / 8000 < 0.01
    noise = np.random.default_rng(0).integers(8, size=20_000)
    bits = total_bits([noise[:10_000]], [noise[10_000:]], num_units=8, order=2) / 10_000
    assert bits == pytest.approx(3, abs=0.02)
    assert total_bits([], [noise], num_units=8, order=3) == 3 * 20_000


def test_more_ngrams_than_can_be_numbered_are_refused() -> None:
    with pytest.raises(FeatbankError, match=r"smaller quality\.ngram\.order"):
        NgramModel([], 1 << 20, 4)
