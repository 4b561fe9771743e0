from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featbank.units import deduplicate, expand

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
    with pytest.raises(ValueError, match=r"shape \(T,\), got \(2, 5\)"):
        deduplicate(np.zeros((2, 5), np.uint8))


def test_expand_refuses_durations_of_another_length() -> None:
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3,\)"):
        expand(np.zeros(2, np.uint8), np.ones(3, np.uint32))
