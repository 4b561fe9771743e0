"""Sequences in windows: none is cut that fits, none is lost, and little is padding."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as drawn
from torch.utils.data import DataLoader, Dataset

from featbank.dataset import (
    Interleaved,
    Mixture,
    MixtureSampler,
    PackedSequences,
    PackedWindow,
    WindowSampler,
)
from featbank.dataset.tokens.packing import best_fit
from featbank.dataset.tokens.text_and_speech import TokenSequence
from featbank.errors import ConfigError
from tests.dataset.test_text_and_speech import folder, sequences  # noqa: F401

PADDING = 9


class Numbered(Dataset[TokenSequence]):
    """Sequences whose tokens tell which one they are of; all but the first are targets."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> TokenSequence:
        length = self.lengths[index]
        tokens = 1000 * (index + 1) + torch.arange(length)
        return TokenSequence(
            tokens, torch.zeros(length, dtype=torch.bool), torch.arange(length) > 0,
            torch.tensor(length),
        )  # fmt: skip


def packed(lengths: list[int], window_length: int) -> PackedSequences:
    return PackedSequences(Numbered(lengths), window_length, padding=PADDING)


def documents(window: PackedWindow) -> list[list[int]]:
    bounds = window.cu_seqlens.tolist()
    return [
        window.tokens[start:stop].tolist()
        for start, stop in itertools.pairwise(bounds)
        if window.document_ids[start] >= 0
    ]


@given(drawn.lists(drawn.integers(0, 40), max_size=60), drawn.integers(2, 20))
def test_each_token_is_read_and_predicted_once(lengths: list[int], window_length: int) -> None:
    windows = packed(lengths, window_length)
    pieces = [one for number in range(len(windows)) for one in documents(windows[number])]
    for number, length in enumerate(lengths):
        own = sorted(one for one in pieces if one[0] // 1000 == number + 1)
        if 0 < length <= window_length:
            assert own == [[*range(1000 * (number + 1), 1000 * (number + 1) + length)]]
        # each piece begins with the last token of the one before
        assert all(before[-1] == after[0] for before, after in itertools.pairwise(own))
    targets = Counter(
        token
        for number in range(len(windows))
        for token in windows[number].tokens[windows[number].loss_mask].tolist()
    )
    assert targets == Counter(
        1000 * (number + 1) + place
        for number, length in enumerate(lengths)
        for place in range(1, length)
    )


@given(drawn.lists(drawn.integers(0, 100)))
def test_no_bin_overflows_and_none_could_join_another(lengths: list[int]) -> None:
    bins = best_fit(lengths, 100)
    sums = np.bincount(bins, weights=lengths)
    assert sums.max(initial=0) <= 100
    if len(lengths):
        assert {*bins.tolist()} == {*range(bins.max() + 1)}
        firsts = [bins.tolist().index(number) for number in range(bins.max() + 1)]
        assert firsts == sorted(firsts), "bins stand in the order of their first items"
    smallest = sorted(sums)[:2]
    assert len(smallest) < 2 or sum(smallest) > 100


def test_windows_hold_little_padding() -> None:
    lengths = np.exp(np.random.default_rng(0).normal(np.log(150), 0.5, 2000)).astype(int).tolist()
    for window_length in (1024, 2048, 4096):
        windows = packed(lengths, window_length)
        assert windows.fill > 0.98
        real = sum(int((windows[n].document_ids >= 0).sum()) for n in range(len(windows)))
        assert windows.fill == real / (len(windows) * window_length)
        # no packing can need a window fewer than this one takes, but for one
        assert len(windows) <= -(-sum(lengths) // window_length) + 1


def test_a_window_says_where_its_sequences_are() -> None:
    windows = packed([3, 4, 9], 8)
    assert len(windows) == 3
    first, cut, rest = (windows[number] for number in range(3))
    assert first.tokens.tolist() == [1000, 1001, 1002, 2000, 2001, 2002, 2003, PADDING]
    assert first.document_ids.tolist() == [0, 0, 0, 1, 1, 1, 1, -1]
    assert first.positions.tolist() == [0, 1, 2, 0, 1, 2, 3, 0]
    assert first.labels.tolist() == [-100, 1001, 1002, -100, 2001, 2002, 2003, -100]
    assert first.cu_seqlens.tolist() == [0, 3, 7, 8]
    assert cut.tokens.tolist() == [*range(3000, 3008)]
    assert rest.tokens[:2].tolist() == [3007, 3008]
    assert rest.loss_mask.tolist() == [False, True] + [False] * 6


def test_a_sampler_goes_on_in_mid_epoch() -> None:
    windows = packed([5, 3, 9, 2, 7, 8, 1, 6, 4, 9, 9, 3], 10)
    order = WindowSampler(windows, seed=1, rank=0, num_ranks=1)
    whole = list(order)
    assert sorted(whole) == list(range(len(windows)))
    resumed = WindowSampler(packed(windows.lengths.tolist(), 10), seed=1, rank=0, num_ranks=1)
    resumed.load_state_dict(WindowSampler(windows, seed=1, rank=0, num_ranks=1).state_dict(2))
    assert list(resumed) == whole[2:]
    other = packed([5, 3, 9, 2, 7, 8, 1, 6, 4, 9, 9, 4], 10)
    with pytest.raises(ConfigError, match="state of a sampler"):
        WindowSampler(other, seed=1, rank=0, num_ranks=1).load_state_dict(
            WindowSampler(windows, seed=1, rank=0, num_ranks=1).state_dict(2)
        )


def test_packed_windows_are_mixed_and_batched() -> None:
    mixture = Mixture({"a": packed([5] * 40, 10), "b": packed([9] * 5, 10)})
    sampler = MixtureSampler(mixture, weights={"a": 1, "b": 1}, num_picks=8, rank=0, num_ranks=1)
    for batch in DataLoader(mixture, batch_size=4, sampler=sampler):
        assert isinstance(batch, PackedWindow)
        assert batch.tokens.shape == batch.labels.shape == (4, 10)
        assert batch.cu_seqlens[-1] == 40
    tokens = MixtureSampler(mixture, weights={"a": 1, "b": 1}, by="tokens", rank=0, num_ranks=1)
    assert tokens.shares == {"a": 0.5, "b": 0.5}, "windows are of one length"


def test_interleaved_sequences_are_packed_as_their_epoch_draws_them(folder: Path) -> None:  # noqa: F811
    every = sequences(folder, Interleaved(shortest=1, longest=2))
    for epoch in range(3):
        those = every.in_epoch(epoch)
        windows = PackedSequences(those, 64, padding=those.padding)
        found = sorted(
            document for number in range(len(windows)) for document in documents(windows[number])
        )
        assert found == sorted(one.tokens.tolist() for one in those)
    lengths = [len(one.tokens) + 1 for one in every]
    stale = PackedSequences(every, 64, padding=every.padding, lengths=lengths)
    with pytest.raises(ConfigError, match="as it was packed"):
        stale[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_length": 1}, "window_length: expected 2 or more"),
        ({"padding": -100}, "padding of windows: .* got -100; no embedding has a row"),
        ({"padding": "<end>"}, "padding of windows: expected an integer"),
        ({"lengths": [1]}, "lengths: expected those of 2 sequences, got 1"),
    ],
)
def test_what_cannot_be_packed_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PackedSequences(Numbered([1, 2]), **{"window_length": 8, "padding": 0, **options})
