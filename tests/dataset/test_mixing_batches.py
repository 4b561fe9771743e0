"""Batches of several datasets, each dataset by its share."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from featbank.dataset import BucketBatchSampler, FeatureDataset, Mixture, MixtureBatchSampler
from featbank.errors import ConfigError
from featbank.store import StoreWriter

COUNTS = {"a": 90, "b": 40, "c": 7}


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    folder = tmp_path_factory.mktemp("mixture")
    drawn = np.random.default_rng(0)
    for name, count in COUNTS.items():
        with StoreWriter(folder / name, name="fbank", frame_rate=100.0) as writer:
            for number in range(count):
                frames = np.full((drawn.integers(5, 50), 2), number, np.float32)
                writer.write(f"{name}{number:03d}", frames)
    return Mixture(
        {name: FeatureDataset({"fbank": folder / name}) for name in COUNTS}, name_as="source"
    )


def batches(mixture: Mixture, **options: Any) -> MixtureBatchSampler:
    samplers = {
        name: BucketBatchSampler(source, max_frames=200, num_buckets=3, rank=0, num_ranks=1)  # type: ignore[arg-type]
        for name, source in mixture.sources.items()
    }
    samplers |= options.pop("samplers", {})
    settings = {"weights": {"a": 1, "b": 1, "c": 2}, "rank": 0, "num_ranks": 1}
    return MixtureBatchSampler(mixture, samplers, **{**settings, **options})


def test_a_batch_is_of_one_source_and_sources_come_by_their_shares(mixture: Mixture) -> None:
    sampler = batches(mixture, num_picks=400)
    collate = mixture.sources["a"].collate  # type: ignore[attr-defined]
    given: list[str] = []
    for batch in DataLoader(mixture, batch_sampler=sampler, collate_fn=collate):
        (name,) = {*batch["source"]}
        assert all(one.startswith(name) for one in batch["id"])
        assert batch["fbank"].values.shape[:2] == (
            len(batch["id"]),
            int(batch["fbank"].lengths.max()),
        )
        assert np.prod(batch["fbank"].values.shape[:2]) <= 200
        given.append(name)
        for name, share in sampler.shares.items():
            assert abs(given.count(name) - len(given) * share) < 2
    assert len(given) == 400


def test_a_source_gives_each_utterance_once_a_round(mixture: Mixture) -> None:
    sampler = batches(mixture, num_picks=300)
    given: list[int] = []
    for _ in range(2):
        given += [
            place for batch in sampler for name, place in map(mixture.locate, batch) if name == "c"
        ]
    rounds = [given[start : start + 7] for start in range(0, len(given) // 7 * 7, 7)]
    assert len(rounds) > 20
    assert all(sorted(one) == list(range(7)) for one in rounds)
    assert len({*map(tuple, rounds)}) > 5


def test_by_default_an_epoch_is_each_utterance_once(mixture: Mixture) -> None:
    picks = [pick for batch in batches(mixture, weights=None) for pick in batch]
    assert sorted(picks) == list(range(len(mixture)))


def test_batches_are_mixed_by_frames(mixture: Mixture) -> None:
    sampler = batches(mixture, weights={"a": 1, "b": 1, "c": 1}, by="tokens", num_picks=2000)
    frames = Counter[str]()
    for batch in sampler:
        for name, place in map(mixture.locate, batch):
            frames[name] += int(mixture.sources[name].lengths()[place])  # type: ignore[attr-defined]
    assert max(frames.values()) < 1.03 * min(frames.values())


@pytest.mark.parametrize("num_ranks", [1, 2, 8])
def test_ranks_share_batches_and_a_stopped_run_goes_on(mixture: Mixture, num_ranks: int) -> None:
    whole = list(batches(mixture, num_picks=160))
    state = batches(mixture, num_picks=160).state_dict(num_done=48)
    ranks = [
        batches(mixture, num_picks=160, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)
    ]
    for one in ranks:
        one.load_state_dict(state)
    resumed = [batch for round_ in zip(*ranks, strict=True) for batch in round_]
    assert resumed == whole[48:]


def test_a_state_of_other_batches_is_refused(mixture: Mixture) -> None:
    state = batches(mixture).state_dict(num_done=1)
    other = BucketBatchSampler(
        mixture.sources["b"],  # type: ignore[arg-type]
        max_frames=201,
        num_buckets=3,
    )
    with pytest.raises(ConfigError, match="state of a sampler"):
        batches(mixture, samplers={"b": other}).load_state_dict(state)


def test_samplers_of_other_datasets_are_refused(mixture: Mixture) -> None:
    with pytest.raises(ConfigError, match="expected one for each of a, b, c, got a, b, c, d"):
        batches(mixture, samplers={"d": BucketBatchSampler([1], max_frames=9)})
    with pytest.raises(ConfigError, match=r"sampler of 'c'.* 7 utterances, got one of 1"):
        batches(mixture, samplers={"c": BucketBatchSampler([1], max_frames=9)})
    none = BucketBatchSampler([20] * 7, max_frames=9, max_length=9)
    with pytest.raises(ConfigError, match=r"sampler of 'c'.* one or more batches"):
        batches(mixture, samplers={"c": none})
