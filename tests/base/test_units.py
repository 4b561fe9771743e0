from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featbank.base.units import deduplicate, expand
from featbank.errors import FeatbankError

sequences = st.lists(st.integers(0, 3), max_size=50).map(lambda units: np.array(units, np.uint8))


@given(sequences)
def test_expanding_what_was_deduplicated_gives_the_units_back(units: np.ndarray) -> None:
    merged, durations = deduplicate(units)
    np.testing.assert_array_equal(expand(merged, durations), units)
    assert expand(merged, durations).dtype == units.dtype


@given(sequences)
def test_durations_sum_to_the_frames_and_no_neighbours_are_equal(units: np.ndarray) -> None:
    merged, durations = deduplicate(units)
    assert durations.sum() == len(units)
    assert (durations > 0).all()
    assert (merged[1:] != merged[:-1]).all()


def test_codes_of_several_codebooks_are_refused() -> None:
    with pytest.raises(FeatbankError, match=r"units: expected \(T,\) integers, got \(2, 5\)"):
        deduplicate(np.zeros((2, 5), np.uint8))


@pytest.mark.parametrize("dtype", ["float64", "bool"])
def test_what_is_no_integer_is_refused(dtype: str) -> None:
    with pytest.raises(FeatbankError, match=rf"units: expected .* integers, got .* of {dtype}"):
        deduplicate(np.zeros(2, dtype))
    with pytest.raises(FeatbankError, match=rf"durations: expected .* integers, got .* of {dtype}"):
        expand(np.zeros(2, np.uint8), np.ones(2, dtype))


def test_a_list_is_refused_by_name() -> None:
    with pytest.raises(FeatbankError, match="units: expected an array or a tensor, got list"):
        deduplicate([7, 7, 3])  # type: ignore[arg-type]


def test_the_widest_integers_are_units_and_durations() -> None:
    units = np.array([2**64 - 1, 2**64 - 1, 0], np.uint64)
    merged, durations = deduplicate(units)
    assert (merged.tolist(), durations.tolist()) == ([2**64 - 1, 0], [2, 1])
    np.testing.assert_array_equal(expand(merged, durations.astype(np.uint64)), units)


def test_expand_refuses_durations_of_another_length() -> None:
    with pytest.raises(FeatbankError, match=r"expected \(2,\), one a unit, got \(3,\)"):
        expand(np.zeros(2, np.uint8), np.ones(3, np.uint32))


def test_expand_refuses_negative_durations() -> None:
    with pytest.raises(FeatbankError, match="durations: expected 0 or more, got -2"):
        expand(np.zeros(2, np.uint8), np.array([3, -2]))
