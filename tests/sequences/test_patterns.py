from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from featbank.errors import FeatbankError
from featbank.sequences import delay, flatten, undelay, unflatten

SIZE = 9
codes_of_any_shape = arrays.arrays(
    st.sampled_from(["uint8", "int64", "uint64"]),
    st.tuples(st.integers(1, 5), st.integers(0, 8)),
    elements=st.integers(0, SIZE - 1),
)


@given(codes_of_any_shape, st.sampled_from([None, SIZE, 100]))
def test_flattened_codes_come_back(codes: np.ndarray, size: int | None) -> None:
    tokens = flatten(codes, size)
    assert tokens.shape == (codes.size,)
    back = unflatten(tokens, len(codes), size)
    assert tokens.dtype == back.dtype == (codes.dtype if size is None else np.int64)
    np.testing.assert_array_equal(back, codes)


def test_an_offset_does_not_overflow_a_narrow_dtype() -> None:
    assert flatten(np.full((3, 1), 255, np.uint8), 256).tolist() == [255, 511, 767]


def test_delays_and_sizes_of_a_narrow_dtype_do_not_overflow() -> None:
    delayed = delay(np.array([[1], [2]]), 0, np.array([0, 255], np.uint8))  # type: ignore[arg-type]
    assert delayed.shape == (2, 256)
    assert (delayed[0, 0], delayed[1, 255]) == (1, 2)
    tokens = flatten(np.array([[1], [2]], np.uint64), np.uint64(10))  # type: ignore[arg-type]
    assert (tokens.tolist(), tokens.dtype) == ([1, 12], np.int64)


@pytest.mark.parametrize("dtype", ["float64", "bool"])
def test_codes_that_are_no_integers_are_refused(dtype: str) -> None:
    codes = np.array([[1, 0], [0, 1]], dtype)
    for pattern in (flatten, lambda codes: delay(codes, 2), lambda codes: undelay(codes, 2)):
        with pytest.raises(FeatbankError, match=rf"\(Q, T\) integers, got \(2, 2\) of {dtype}"):
            pattern(codes)
    for size in (None, 10):
        with pytest.raises(FeatbankError, match=r"\(T,\) integers, got \(2,\) of"):
            unflatten(codes[0], 1, size)


@given(codes_of_any_shape, st.data())
def test_delayed_codes_come_back(codes: np.ndarray, data: st.DataObject) -> None:
    delays = data.draw(
        st.none() | st.lists(st.integers(0, 4), min_size=len(codes), max_size=len(codes))
    )
    delayed = delay(codes, SIZE, delays)
    longest = len(codes) - 1 if delays is None else max(delays)
    assert delayed.shape == (len(codes), codes.shape[1] + longest)
    assert delayed.dtype == codes.dtype
    assert (delayed == SIZE).sum() == len(codes) * longest
    np.testing.assert_array_equal(undelay(delayed, SIZE, delays), codes)


def test_a_code_is_read_when_the_coarser_ones_of_its_frame_are_known() -> None:
    codes = np.arange(12).reshape(3, 4)
    delayed = delay(codes, pad=99)
    for book in range(3):
        for frame in range(4):
            assert delayed[book, frame + book] == codes[book, frame]


def test_a_sequence_that_ended_early_gives_its_whole_frames() -> None:
    delayed = delay(np.array([[1, 2, 3], [4, 5, 6]]), pad=0)
    delayed[1, 3] = 0
    assert undelay(delayed, pad=0).tolist() == [[1, 2], [4, 5]]


def test_what_is_no_pattern_is_refused() -> None:
    codes = np.array([[1, 2, 3], [4, 5, 6]])
    with pytest.raises(FeatbankError, match=r"expected \(Q, T\) integers, got \(3,\)"):
        flatten(np.arange(3))
    with pytest.raises(FeatbankError, match=r"expected a codebook or more, got \(0, 3\)"):
        flatten(codes[:0])
    with pytest.raises(FeatbankError, match="expected 0 to 4, got 6"):
        flatten(codes, 5)
    with pytest.raises(FeatbankError, match="whole frames of 2 codebooks, got"):
        unflatten(np.arange(3), 2)
    for number in (0, -1):
        with pytest.raises(FeatbankError, match=f"num_codebooks: expected 1 or more, got {number}"):
            unflatten(np.arange(4), number)
    with pytest.raises(FeatbankError, match="expected 0 to 9, got -8"):
        unflatten(np.array([1, 2]), 2, 10)
    with pytest.raises(FeatbankError, match="expected a token that is no code, got 4"):
        delay(codes, pad=4)
    with pytest.raises(FeatbankError, match="expected a value of uint8, got 256"):
        delay(codes.astype(np.uint8), pad=256)
    with pytest.raises(FeatbankError, match="expected a value of uint8, got 256"):
        undelay(delay(codes, pad=256).astype(np.uint8), pad=256)  # there, pads look like code 0
    with pytest.raises(TypeError, match="float"):
        delay(codes, pad=0.5)  # type: ignore[arg-type]
    with pytest.raises(FeatbankError, match=r"expected 2 of 0 or more, one a codebook, got \[0\]"):
        delay(codes, pad=0, delays=[0])
    with pytest.raises(FeatbankError, match=r"got \[0, -1\]"):
        delay(codes, pad=0, delays=[0, -1])
    with pytest.raises(FeatbankError, match="expected 5 steps or more, got 3"):
        undelay(codes, pad=0, delays=[0, 5])
    with pytest.raises(
        FeatbankError, match="no code behind the pad of frame 1, got codes of frame 2"
    ):
        undelay(np.array([[1, 0, 3, 0], [0, 4, 5, 6]]), pad=0)
