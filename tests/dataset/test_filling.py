"""Batches are full, as many in every epoch, and what cannot be in one is named."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, DataLoader, Subset

from featbank.dataset import BucketBatchSampler, FeatureDataset
from featbank.dataset.filling import cut
from featbank.errors import ConfigError
from featbank.store import StoreWriter


def prompts(number: int, seed: int = 0) -> np.ndarray:
    """Return lengths like those of short prompts at 100 frames a second, a few of them long."""
    drawn = np.random.default_rng(seed).lognormal(4.95, 0.9, number)
    return np.clip(drawn, 20, 8500).astype(np.int64)


def fill(batches: Sequence[list[int]], lengths: np.ndarray, max_frames: int) -> tuple[float, float]:
    """Return padded frames / limit, and real frames / padded ones."""
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return padded / max_frames / len(batches), float(lengths.sum() / padded)


@pytest.mark.parametrize("max_frames", [12_000, 24_000])
@pytest.mark.parametrize("num_buckets", [1, 8, 30, 1000])
def test_batches_of_short_prompts_are_full_and_hold_little_padding(
    max_frames: int, num_buckets: int
) -> None:
    lengths = prompts(1500)
    sampler = BucketBatchSampler(lengths, max_frames=max_frames, num_buckets=num_buckets)
    for _ in range(3):
        batches = list(sampler)
        full, real = fill(batches, lengths, max_frames)
        assert full > 0.85
        assert real > 0.78
        assert max(len(batch) * int(lengths[batch].max()) for batch in batches) <= max_frames


@given(
    lengths=st.lists(st.integers(0, 60), max_size=80),
    max_frames=st.integers(60, 400),
    max_utterances=st.none() | st.integers(1, 9),
    num_buckets=st.none() | st.integers(1, 12),
)
def test_no_utterance_of_a_bucket_overfills_a_batch_in_any_order(
    lengths: list[int],
    max_frames: int,
    max_utterances: int | None,
    num_buckets: int | None,
) -> None:
    numbers = np.array(lengths, np.int64)
    made = cut(
        numbers, max_frames=max_frames, max_utterances=max_utterances, num_buckets=num_buckets
    )
    assert made.edges[0] == 0
    assert made.edges[-1] == len(numbers)
    sizes = np.diff(made.edges)
    assert (sizes > 0).all()
    assert len(numbers) == 0 or sizes.max() <= (max_utterances or len(numbers))
    in_order = np.argsort(made.buckets, kind="stable")
    buckets = made.buckets[in_order]
    longest = {one: int(numbers[made.buckets == one].max()) for one in np.unique(buckets)}
    for start, stop in zip(made.edges[:-1], made.edges[1:], strict=True):
        # whichever utterance of the bucket stands at a place
        assert max(longest[one] for one in buckets[start:stop]) * (stop - start) <= max_frames
    if num_buckets is not None:
        without = cut(
            numbers, max_frames=max_frames, max_utterances=max_utterances, num_buckets=None
        )
        assert made.num_batches <= 1.05 * without.num_batches or len(np.unique(buckets)) == 1


def test_every_epoch_has_as_many_batches_and_mixes_them_anew() -> None:
    lengths = prompts(3000)
    sampler = BucketBatchSampler(lengths, max_frames=12_000)
    before: set[tuple[int, ...]] = set()
    for epoch in range(5):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert sorted(index for batch in batches for index in batch) == [*range(3000)]
        now = {tuple(sorted(batch)) for batch in batches}
        assert len(now & before) < len(now) / 10
        before = now


@pytest.mark.parametrize(
    "lengths",
    [
        [5, 0, 7],
        np.array([5, 0, 7], np.uint8),
        torch.tensor([5, 0, 7], dtype=torch.int32),
        (np.int64(5), 0, torch.tensor(7)),
        range(5, 8),
    ],
)
def test_lengths_are_integers_of_any_kind(lengths: Any) -> None:
    assert sorted(chain(*BucketBatchSampler(lengths, max_frames=20))) == [0, 1, 2]


@pytest.mark.parametrize(
    ("lengths", "batches"),
    [
        ([], []),
        ([0], [[0]]),
        ([3], [[0]]),
        ([0, 0, 0], [[0, 1, 2]]),
        ([4, 4, 4, 4, 4], [[0, 1], [2, 3], [4]]),
        ([1, 1, 8], [[0, 1], [2]]),
        ([8, 1, 2, 3], [[1, 2], [3], [0]]),
    ],
)
def test_a_batch_holds_as_many_as_fit_from_the_shortest_on(
    lengths: list[int], batches: list[list[int]]
) -> None:
    sampler = BucketBatchSampler(lengths, max_frames=8, shuffle=False)
    assert list(sampler) == batches
    drawn = BucketBatchSampler(lengths, max_frames=8)
    assert sorted(map(len, drawn)) == sorted(map(len, batches))


def write(path: Path, lengths: Sequence[int], order: Sequence[int] | None = None) -> Path:
    with StoreWriter(path, name="x", codebook_size=9) as writer:
        for number in order or range(len(lengths)):
            writer.write(f"u{number}", np.ones(lengths[number], int))
    return path


def test_a_dataset_brings_its_lengths_and_its_ids(tmp_path: Path) -> None:
    stores = {"a": write(tmp_path / "a", [5, 9, 2]), "b": write(tmp_path / "b", [3, 1, 30])}
    dataset = FeatureDataset(stores)
    by_first = BucketBatchSampler(dataset, max_frames=100, shuffle=False)
    assert list(by_first) == [[2, 0, 1]]
    assert list(BucketBatchSampler(dataset, max_frames=100, shuffle=False, name="b")) == [[1, 0, 2]]
    with pytest.raises(
        ConfigError, match="30 or more, the length of utterance 'u2', got 29; max_l"
    ):
        BucketBatchSampler(dataset, max_frames=29, name="b")
    some = FeatureDataset(stores, ids=["u2", "u0"])
    with pytest.raises(ConfigError, match="5 or more, the length of utterance 'u0', got 4"):
        BucketBatchSampler(some, max_frames=4)
    with pytest.raises(ConfigError, match="5 or more, the length of utterance 'u0', got 4"):
        BucketBatchSampler(some.lengths(), max_frames=4)
    loader = DataLoader(some, batch_sampler=BucketBatchSampler(some, max_frames=10), collate_fn=len)
    assert list(loader) == [2]


def test_a_state_is_of_the_utterances_in_their_order(tmp_path: Path) -> None:
    stores = {"x": write(tmp_path / "x", [5] * 8)}
    dataset = FeatureDataset(stores)
    state = BucketBatchSampler(dataset, max_frames=10).state_dict(num_done=2)
    ids = list(dataset.stores["x"].ids)
    BucketBatchSampler(FeatureDataset(stores), max_frames=10).load_state_dict(state)
    turned = FeatureDataset(stores, ids=ids[::-1])
    BucketBatchSampler(dataset.lengths(), max_frames=10).load_state_dict(state)  # whose they are
    for other in (
        BucketBatchSampler(turned, max_frames=10),
        BucketBatchSampler(turned.lengths(), max_frames=10),
        BucketBatchSampler(dataset.lengths().copy(), max_frames=10),
        BucketBatchSampler(dataset, max_frames=10, max_utterances=2),
        BucketBatchSampler(dataset, max_frames=11),
        BucketBatchSampler(dataset, max_frames=10, max_length=7),
    ):
        with pytest.raises(ConfigError, match="state of a sampler: expected the data,"):
            other.load_state_dict(state)
    by_hand = BucketBatchSampler([5] * 8, max_frames=10, ids=ids)
    with pytest.raises(ConfigError, match="state of a sampler: expected the data, in the same ord"):
        BucketBatchSampler([5] * 8, max_frames=10, ids=ids[::-1]).load_state_dict(
            by_hand.state_dict()
        )


def test_too_short_and_too_long_utterances_are_left_out_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = FeatureDataset({"x": write(tmp_path / "x", [5, 90, 2, 7, 1, 0, 3])})
    sampler = BucketBatchSampler(dataset, max_frames=10, min_length=5, max_length=10)
    assert sorted(chain(*sampler)) == [0, 3]
    assert sampler.left_out.tolist() == [1, 2, 4, 5, 6]
    assert (
        "5 of 7 utterances have under 5 or over 10 frames, and are left out of batches: "
        "'u1', 'u2', 'u4' and so on" in caplog.text
    )
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        sampler = BucketBatchSampler(dataset, max_frames=90, min_length=0, max_length=90)
    assert (caplog.text, sampler.left_out.tolist()) == ("", [])
    none = BucketBatchSampler([1, 2], max_frames=9, min_length=3)
    assert (list(none), len(none)) == ([], 0)
    assert "2 of 2 utterances have under 3 frames, and are left out of batches: 0, 1" in caplog.text


def test_what_is_no_length_is_refused(tmp_path: Path) -> None:
    dataset = FeatureDataset({"x": write(tmp_path / "x", [5, 9])})
    for lengths, message in (
        ([1.0, 2.0], "expected integers, one an utterance, got .* of float64"),
        ([1, float("nan")], "expected integers"),
        ([1, None], "expected integers"),
        ([[1, 2]], "expected integers"),
        ([[1], [1, 2]], "expected integers"),
        ([True, False], "expected integers"),
        ("12", "expected integers"),
        (torch.ones(2, dtype=torch.bfloat16), "expected integers"),
        (np.array([1, 1 << 63], np.uint64), "expected integers"),
        ([3, -1], "utterance 1: expected 0 frames or more, got -1"),
        (Subset(dataset, [0]), "a FeatureDataset, or integers, got a Subset; hand over"),
        (ConcatDataset([dataset]), "got a ConcatDataset"),
    ):
        with pytest.raises(ConfigError, match=message):
            BucketBatchSampler(lengths, max_frames=100)  # type: ignore[arg-type]
    for options, message in (
        ({"max_frames": 1.5}, "max_frames of batches: expected a whole number, 1 or more, got 1.5"),
        ({"max_frames": "9"}, "expected a whole number, 1 or more, got '9'"),
        ({"min_length": -1}, "min_length of batches: expected 0 or more, got -1"),
        (
            {"min_length": 9, "max_length": 3},
            "min_length of batches: expected at most max_length=3",
        ),
        ({"name": "y"}, "name of a store with frames: expected x, got y"),
        ({"ids": ["a", "b"]}, "ids of batches: expected those of the dataset, got others"),
    ):
        with pytest.raises(ConfigError, match=message):
            BucketBatchSampler(dataset, **{"max_frames": 100, **options})
    for options, message in (
        ({"name": "x"}, "name of a store to measure by: expected a dataset that has it"),
        ({"ids": ["a"]}, "ids of batches: expected 2, one a length, got 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            BucketBatchSampler([5, 9], max_frames=100, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="utterance 'b': expected 0 frames or more, got -5"):
        BucketBatchSampler([5, -5], max_frames=100, ids=["a", "b"])
    with pytest.raises(ConfigError, match="9 or more, the length of utterance 'b', got 8"):
        BucketBatchSampler([5, 9], max_frames=8, ids=["a", "b"])
