from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featbank.errors import FeatbankError
from featbank.sequences import chunk, unchunk

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


def test_sizes_of_a_narrow_dtype_do_not_overflow() -> None:
    windows = chunk(np.arange(250), np.uint8(200), np.uint8(100))  # type: ignore[arg-type]
    assert [len(window) for window in windows] == [200, 150]


@pytest.mark.parametrize("pad", [-1, 256])
def test_a_pad_that_the_dtype_does_not_hold_is_refused(pad: int) -> None:
    units = np.arange(3, dtype=np.uint8)
    with pytest.raises(FeatbankError, match=f"pad: expected a value of uint8, got {pad}"):
        chunk(units, 2, tail="pad", pad=pad)
    assert len(chunk(units, 2, pad=pad)) == 2  # nothing is filled up with it


@pytest.mark.parametrize("dtype", ["float64", "bool"])
def test_tokens_that_are_no_integers_are_refused(dtype: str) -> None:
    with pytest.raises(FeatbankError, match=rf"tokens: expected integers, got \(4,\) of {dtype}"):
        chunk(np.ones(4, dtype), 2)
    with pytest.raises(FeatbankError, match=rf"expected integers, got \(4,\) of {dtype}"):
        unchunk([np.ones(2, dtype), np.ones(2, dtype)])


def test_windows_are_not_joined_as_floats() -> None:
    with pytest.raises(FeatbankError, match=r"expected integers, got \(4,\) of float64"):
        unchunk([np.ones(2, np.uint64), np.ones(2, np.int64)])


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
    for stride in (0, -1, 5):
        with pytest.raises(FeatbankError, match=rf"got sizes \[4\], stride {stride}"):
            unchunk([np.arange(4), np.arange(4)], stride)
