"""ABX gives what fastabx gives, of phones cut as labels say.

`abx_golden.json` holds what fastabx 0.9.0 with torchdtw 0.4.2 gave for the same segments, without a
subsampler: `Task(dataset, on="phone", by=[...], across=[...])`, `Score(task, distance)` and
`collapse(levels=[("next", "prev"), "speaker"])`, by context, else `levels=["speaker"]`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.labels import Intervals
from featbank.quality.abx import abx_error
from featbank.quality.segments import PhoneSegment, capped, phone_segments
from featbank.quality.warping import angular, of_length_one, unequal, warped_distances

GOLDEN = json.loads(Path(__file__).with_name("abx_golden.json").read_text())


def seeded_segments(*, units: bool) -> list[PhoneSegment]:
    """Segments of 5 phones, 3 speakers and 4 contexts, of 1 to 8 frames."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(5, 6))
    segments = []
    for number in range(160):
        phone, speaker = int(rng.integers(5)), int(rng.integers(3))
        before, after = (f"c{one}" for one in rng.integers(2, size=2))
        length = int(rng.integers(1, 9))
        frames: Any
        if units:
            clear = rng.random((length, 1)) < 0.4
            frames = np.where(clear, phone, rng.integers(5, size=(length, 1)))
        else:
            noise = 1.5 * rng.normal(size=(length, 6))
            frames = (centers[phone] + 0.3 * speaker + noise).astype(np.float32)
        segments.append(
            PhoneSegment(
                key=f"{number:03}", phone=f"p{phone}", context=(before, after),
                speaker=f"s{speaker}", frames=frames,
            )
        )  # fmt: skip
    return segments


@pytest.mark.parametrize("by_context", [False, True])
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("kind", ["features", "units"])
def test_errors_are_those_of_fastabx(kind: str, across: bool, by_context: bool) -> None:
    segments = seeded_segments(units=kind == "units")
    if kind == "features":
        segments = [replace(one, frames=of_length_one(one.frames)) for one in segments]
    distance = angular if kind == "features" else unequal
    found = abx_error(segments, distance, across=across, by_context=by_context)
    golden = GOLDEN[
        f"{kind} {'across' if across else 'within'} {'context' if by_context else 'any'}"
    ]
    assert found is not None
    assert found.error_rate == pytest.approx(golden["error_rate"], abs=1e-6)
    assert found.num_cells == golden["num_cells"]


def warped(first: Any, second: Any) -> float:
    """Align two stretches of numbers by hand: the cheapest path, and of those the preferred one."""
    costs: dict[tuple[int, int], tuple[float, int]] = {}
    for i, x in enumerate(first):
        for j, y in enumerate(second):
            before = [costs[at] for at in ((i - 1, j - 1), (i, j - 1), (i - 1, j)) if at in costs]
            cost, steps = min(before, key=lambda one: one[0]) if before else (0, 0)
            costs[i, j] = cost + float(x != y), steps + 1
    cost, steps = costs[len(first) - 1, len(second) - 1]
    return cost / steps


def test_stretches_are_aligned_as_by_hand_also_where_paths_are_equally_cheap() -> None:
    rng = np.random.default_rng(1)
    first, second = (
        [rng.integers(3, size=(rng.integers(1, 12), 1)) for _ in range(number)]
        for number in (120, 40)  # more than a block
    )
    expected = [[warped(x[:, 0], y[:, 0]) for y in second] for x in first]
    assert warped_distances(first, second, unequal).tolist() == expected


def test_a_frame_of_zeros_is_at_a_right_angle_to_all() -> None:
    frames = of_length_one(np.array([[0, 0], [3, 4]], np.float32))
    assert angular(frames, frames).tolist() == [[0.5, 0.5], [0.5, 0]]


def test_phones_without_another_one_of_their_kind_make_no_cell() -> None:
    segments = seeded_segments(units=True)
    alone = [next(one for one in segments if one.phone == name) for name in ("p0", "p1", "p2")]
    for across in (False, True):
        assert abx_error(alone, unequal, across=across, by_context=False) is None
    of_one = [one for one in segments if one.speaker == "s0"]
    assert abx_error(of_one, unequal, across=True, by_context=False) is None


def cut(rows: Sequence[tuple[float, float, str]], num_frames: int) -> list[PhoneSegment]:
    starts, ends, labels = zip(*rows, strict=True)
    intervals = Intervals(starts_s=np.array(starts), ends_s=np.array(ends), labels=labels)
    centers_s = 0.1 * np.arange(num_frames) + 0.05
    frames = np.arange(num_frames)[:, None]
    return list(phone_segments("a", "s", frames, intervals, centers_s, silences=["sil"]))


def test_a_phone_has_the_frames_whose_middle_lies_in_it_and_the_phones_that_touch_it() -> None:
    found = cut(
        [(0, 0.15, "sil"), (0.15, 0.35, "a"), (0.35, 0.6, "b"), (0.6, 0.61, "c"), (0.61, 0.8, "d"),
         (0.9, 1.0, "e"), (1.0, 1.2, "f")],
        num_frames=11,
    )  # fmt: skip
    told = [(one.phone, one.frames[:, 0].tolist(), one.context) for one in found]
    assert told == [
        ("a", [1, 2], None),  # behind a silence; 0.15 is in it, and 0.35 is not
        ("b", [3, 4, 5], ("a", "c")),
        # c is too short to have a frame, and is a neighbour all the same
        ("d", [6, 7], None),  # before a gap
        ("e", [9], None),
        ("f", [10], None),  # the last one, cut by the end of the frames
    ]


def test_as_many_segments_of_a_phone_are_kept_whatever_their_order() -> None:
    segments = seeded_segments(units=True)
    kept = capped(segments, 3, by_context=False, seed=0)
    assert [one.key for one in kept] == [
        one.key for one in capped(segments[::-1], 3, by_context=False, seed=0)
    ]
    assert len(kept) == 3 * 5 * 3
    assert {one.key for one in kept} != {
        one.key for one in capped(segments, 3, by_context=False, seed=1)
    }
    assert len(capped(segments, 3, by_context=True, seed=0)) > len(kept)
    assert len(capped(segments, 99, by_context=False, seed=0)) == len(segments)
