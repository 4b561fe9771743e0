from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featbank.errors import FeatbankError
from featbank.sequences.chunks import chunk, unchunk

strides = st.integers(1, 6).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))


@given(st.integers(1, 40), strides, st.sampled_from([(), (3,)]))
def test_windows_joined_again_are_the_sequence(
    length: int, cut: tuple[int, int], rows: tuple[int, ...]
) -> None:
    size, stride = cut
    tokens = np.arange(np.prod((*rows, length))).reshape(*rows, length)
    windows = chunk(tokens, size, stride)
    np.testing.assert_array_equal(unchunk(windows, stride), tokens)
    assert all(window.shape[-1] == size for window in windows[:-1])
    new = windows[-1].shape[-1] - (size - stride if len(windows) > 1 else 0)
    assert new > 0  # no window repeats what those before it have


@given(st.integers(0, 40), strides)
def test_dropping_and_padding_differ_from_keeping_in_the_last_window_alone(
    length: int, cut: tuple[int, int]
) -> None:
    size, stride = cut
    tokens = np.arange(length)
    kept = chunk(tokens, size, stride)
    dropped = chunk(tokens, size, stride, tail="drop")
    padded = chunk(tokens, size, stride, tail="pad", pad=-1)
    whole = [window for window in kept if len(window) == size]
    assert [window.tolist() for window in dropped] == [window.tolist() for window in whole]
    assert all(len(window) == size for window in padded)
    assert [[t for t in window.tolist() if t >= 0] for window in padded] == [
        window.tolist() for window in kept
    ]


def test_an_empty_sequence_has_no_window() -> None:
    assert chunk(np.arange(0), 4, 2) == []


def test_what_cannot_be_cut_or_joined_is_refused() -> None:
    with pytest.raises(
        FeatbankError, match="expected 1 to the size, 4, so that no token is skipped, got 5"
    ):
        chunk(np.arange(9), 4, 5)
    with pytest.raises(FeatbankError, match="expected keep, drop or pad, got cut"):
        chunk(np.arange(9), 4, tail="cut")  # type: ignore[arg-type]
    with pytest.raises(FeatbankError, match="expected one or more, got none"):
        unchunk([])
    with pytest.raises(FeatbankError, match=r"got sizes \[3, 4\], stride 2"):
        unchunk([np.arange(4), np.arange(3), np.arange(4)], 2)
