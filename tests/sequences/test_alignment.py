"""Words and frames, and where a sequence turns from text to speech."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as drawn

from featbank.errors import ConfigError
from featbank.sequences.alignment import draw_spans, word_frames

times = drawn.lists(drawn.integers(0, 200), max_size=30).map(lambda ms: np.array(sorted(ms)) / 100)


@given(times.filter(len), times)
def test_each_frame_is_one_words(starts_s: np.ndarray, centers_s: np.ndarray) -> None:  # type: ignore[type-arg]
    frames = word_frames(starts_s, centers_s)
    assert [one for some in frames for one in some] == [*range(len(centers_s))]
    for number, (some, after) in enumerate(pairwise(frames)):
        assert some.stop == after.start
        assert all(centers_s[one] < starts_s[number + 1] for one in some)
        assert all(centers_s[one] >= starts_s[number] for one in some if number)


def test_a_frame_on_a_border_is_the_next_words() -> None:
    assert word_frames(np.array([0.0, 0.3]), np.array([0.1, 0.2, 0.3])) == [range(2), range(2, 3)]


def test_words_that_are_shorter_than_a_frame_have_none() -> None:
    assert word_frames(np.array([0.01, 0.02, 0.03, 9.0]), np.array([0.025, 0.05])) == [
        range(0),
        range(1),
        range(1, 2),
        range(2, 2),
    ]


@given(drawn.integers(0, 60), drawn.integers(1, 5), drawn.integers(0, 5), drawn.integers())
def test_spans_take_turns_and_leave_no_word_out(
    num_parts: int, shortest: int, more: int, key: int
) -> None:
    spans = draw_spans(num_parts, shortest, shortest + more, key)
    assert [part for span in spans for part in span.parts] == [*range(num_parts)]
    assert all(before.is_speech != after.is_speech for before, after in pairwise(spans))
    assert all(shortest <= len(span.parts) <= shortest + more for span in spans[:-1])
    assert spans == draw_spans(num_parts, shortest, shortest + more, key)


def test_lengths_and_the_first_kind_are_drawn_evenly() -> None:
    spans = [draw_spans(40, 2, 4, 0, "id", key)[0] for key in range(3000)]
    assert 1300 < sum(span.is_speech for span in spans) < 1700
    lengths = Counter(len(span.parts) for span in spans)
    assert sorted(lengths) == [2, 3, 4]
    assert min(lengths.values()) > 850


@pytest.mark.parametrize(("shortest", "longest"), [(0, 3), (4, 3)])
def test_spans_of_no_length_are_refused(shortest: int, longest: int) -> None:
    with pytest.raises(ConfigError, match="shortest and longest span"):
        draw_spans(5, shortest, longest)
