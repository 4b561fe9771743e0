"""The order of windows is computed place by place, and no two places hold the same window."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featbank.dataset import TokenWindows, WindowSampler
from featbank.dataset.window_sampler import ShuffledWindows
from featbank.errors import ConfigError
from featbank.files.provenance import digest
from tests.dataset.token_stores import write_units


@given(
    counts=st.lists(st.integers(0, 9), max_size=12),
    shards_at_once=st.integers(1, 5),
    seed=st.integers(0, 3),
    data=st.data(),
)
def test_every_window_is_at_one_place_which_is_found_in_any_order(
    counts: list[int], shards_at_once: int, seed: int, data: st.DataObject
) -> None:
    before = [0, *accumulate(counts)]
    order = list(ShuffledWindows(before, shards_at_once, (seed, 0)))
    assert sorted(order) == [*range(sum(counts))]
    if order:
        places = data.draw(st.lists(st.integers(0, len(order) - 1), max_size=20))
        again = ShuffledWindows(before, shards_at_once, (seed, 0))
        assert [again[place] for place in places] == [order[place] for place in places]
    for place in (-1, len(order)):
        with pytest.raises(IndexError, match="expected a place within"):
            ShuffledWindows(before, shards_at_once, (seed, 0))[place]


def test_no_list_is_made_of_more_windows_than_memory_holds() -> None:
    before = [0, *accumulate([10**15] * 20)]
    order = ShuffledWindows(before, 8, (0, 0))
    places = [0, 1, 10**10, 8 * 10**15 - 1, 8 * 10**15, len(order) - 1]
    windows = [order[place] for place in places]
    assert len({*windows}) == len(places)
    # those of one group of shards, and no others, come before those of the next one
    first = {window // 10**15 for window in map(order.__getitem__, range(200))}
    later = {
        window // 10**15 for window in map(order.__getitem__, range(8 * 10**15, 8 * 10**15 + 200))
    }
    assert len(first) == len(later) == 8
    assert not first & later


def test_an_order_stays_as_it_is_for_ever() -> None:
    order = ShuffledWindows([0, *accumulate([5, 2, 7, 4])], 2, (0, 1))
    assert list(order) == [8, 17, 12, 7, 10, 9, 11, 16, 15, 14, 13, 4, 3, 0, 1, 2, 5, 6]


def test_a_state_of_the_order_that_was_drawn_before_is_refused(tmp_path: Path) -> None:
    windows = TokenWindows(write_units(tmp_path / "x"), 9)
    sampler = WindowSampler(windows)
    state = json.loads(json.dumps(sampler.state_dict()))
    sampler.load_state_dict(state)
    # as featbank 0.1 named the order of these windows
    shards = [shard.digest for shard in windows.store.shards]
    made_from = digest([shards, [9, 0, windows.separator, 8]])
    old = state | {"order": digest([0, True, made_from])[:16]}
    with pytest.raises(ConfigError, match="state of a sampler"):
        sampler.load_state_dict(old)


def test_a_state_of_windows_of_other_tokens_is_refused(tmp_path: Path) -> None:
    store = write_units(tmp_path / "x")
    state = WindowSampler(TokenWindows(store, 9)).state_dict()
    for options in ({"overlap": 1}, {"separator": 60}, {"begin": 51}, {"padding": 51}):
        with pytest.raises(ConfigError, match="state of a sampler"):
            WindowSampler(TokenWindows(store, 9, **options)).load_state_dict(state)  # type: ignore[arg-type]
