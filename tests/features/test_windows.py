"""Windows: every frame once, from exactly the samples that it sees, whatever the length."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from featbank.base.framing import Framing
from featbank.errors import FeatbankError
from featbank.features.windows import Window, plan_windows, read_windows
from tests.features.checks import Held

FRAMINGS = st.builds(
    Framing,
    sample_rate=st.just(16000),
    window_length=st.integers(1, 40),
    hop_length=st.integers(1, 30),
    snip_edges=st.booleans(),
)


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, Framing, dict[str, int]]:
    """A length near one where the number of windows or of frames changes, and how to cut it."""
    framing = draw(FRAMINGS)
    multiple = draw(st.sampled_from([1, 1, 4]))
    context = draw(st.integers(0, 3))
    most = draw(st.integers(2 * context + 1, 2 * context + 8))
    frames = (
        draw(st.integers(1, 6)) * multiple * draw(st.sampled_from([1, most, most - 2 * context]))
    )
    reach = framing.window_length
    edge = (frames - 1) * framing.hop_length + reach
    near = st.one_of(st.integers(-2, 2), st.sampled_from([reach - 1, reach, reach + 1, -reach]))
    num_samples = edge + draw(near)
    assume(num_samples >= framing.min_samples)
    limits = {
        "max_frames": most * multiple,
        "context_frames": context * multiple,
        "multiple": multiple,
    }
    return num_samples, framing, limits


@given(plans())
def test_kept_frames_follow_on_each_other_and_are_all_there_are(
    plan: tuple[int, Framing, dict[str, int]],
) -> None:
    num_samples, framing, limits = plan
    windows = plan_windows(num_samples, framing, **limits)
    kept = list(chain.from_iterable(window.kept for window in windows))
    assert kept == list(range(framing.num_frames(num_samples)))
    assert all(window.kept for window in windows)


@given(plans())
def test_each_window_reads_what_its_frames_see(plan: tuple[int, Framing, dict[str, int]]) -> None:
    num_samples, framing, limits = plan
    for window in plan_windows(num_samples, framing, **limits):
        seen = framing.span(window.frames)
        assert window.samples == range(max(0, seen.start), min(seen.stop, num_samples))
        if framing.snip_edges:
            assert framing.num_frames(len(window.samples)) == len(window.frames)


@given(plans())
def test_windows_are_as_few_and_as_equal_as_the_limit_allows(
    plan: tuple[int, Framing, dict[str, int]],
) -> None:
    num_samples, framing, limits = plan
    windows = plan_windows(num_samples, framing, **limits)
    unit, context, most = limits["multiple"], limits["context_frames"], limits["max_frames"]
    lengths = [-(-len(window.frames) // unit) for window in windows]
    assert max(lengths) <= most // unit
    assert max(lengths) - min(lengths) <= 1
    # one window less, all of them as long as may be, would not reach the end
    fewer = len(windows) - 1
    assert not fewer or fewer * (most - 2 * context) + 2 * context < framing.num_frames(num_samples)


@given(plans())
def test_cuts_lie_at_multiples_and_have_their_context_on_both_sides(
    plan: tuple[int, Framing, dict[str, int]],
) -> None:
    num_samples, framing, limits = plan
    windows = plan_windows(num_samples, framing, **limits)
    context = limits["context_frames"]
    assert windows[0].frames.start == 0
    assert windows[-1].frames.stop == framing.num_frames(num_samples)
    for before, after in pairwise(windows):
        assert before.kept.stop % limits["multiple"] == after.frames.start % limits["multiple"] == 0
        assert before.frames.stop - before.kept.stop == context
        assert after.kept.start - after.frames.start == context


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_tail_of_a_sample_or_of_a_receptive_field_makes_no_short_window(extra: int) -> None:
    framing = Framing(sample_rate=16000, window_length=400, hop_length=320)
    limit = 99 * 320 + 400  # of 100 frames
    for tail in (1, 319, 320, 400, 720):
        num_samples = limit + tail + extra
        windows = plan_windows(num_samples, framing, max_frames=100, context_frames=10)
        assert sum(len(window.kept) for window in windows) == 1 + (num_samples - 400) // 320
        assert len(windows) == (1 if num_samples < limit + 320 else 2)
        assert min(len(window.frames) for window in windows) > 50


@given(plans())
def test_reading_gives_each_window_its_samples(plan: tuple[int, Framing, dict[str, int]]) -> None:
    num_samples, framing, limits = plan
    waveform = torch.arange(float(num_samples))
    windows = plan_windows(num_samples, framing, **limits)
    for window, samples in read_windows(Held(waveform), windows):
        assert samples.tolist() == list(window.samples)


class Recorded(Held):
    """A waveform that notes what was asked of it, in blocks of its own size."""

    def __init__(self, waveform: torch.Tensor, size: int) -> None:
        super().__init__(waveform)
        self.size = size
        self.given = 0

    def blocks(self, num_samples_per_block: int) -> Iterator[np.ndarray]:  # noqa: ARG002
        for block in super().blocks(self.size):
            self.given += len(block)
            yield block


@given(plans(), st.integers(1, 50))
def test_reading_runs_no_further_ahead_than_a_block_and_comes_to_the_end(
    plan: tuple[int, Framing, dict[str, int]], size: int
) -> None:
    num_samples, framing, limits = plan
    waveform = Recorded(torch.arange(float(num_samples)), size)
    for window, samples in read_windows(waveform, plan_windows(num_samples, framing, **limits)):
        assert samples.tolist() == list(window.samples)
        assert waveform.given < window.samples.stop + size
    assert waveform.given == num_samples


def test_a_waveform_that_ends_too_early_is_refused() -> None:
    windows = [Window(samples=range(1001), frames=range(1), kept=range(1))]
    with pytest.raises(FeatbankError, match="expected 1000 samples, got 1000"):
        list(read_windows(Held(torch.zeros(1000)), windows))
