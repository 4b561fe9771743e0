"""Several datasets as one, each by its share."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from featbank.dataset import Mixture, MixtureSampler, TokenWindows
from featbank.dataset.mixtures.turns import Turns
from featbank.errors import ConfigError
from featbank.store import StoreWriter


def numbers(**sizes: int) -> Mixture:
    return Mixture({name: TensorDataset(torch.arange(size)) for name, size in sizes.items()})


def sampler(mixture: Mixture, **options: Any) -> MixtureSampler:
    return MixtureSampler(mixture, **{"rank": 0, "num_ranks": 1, **options})


def epoch(mixture: Mixture, number: int, **options: Any) -> list[int]:
    drawn = sampler(mixture, **options)
    drawn.set_epoch(number)
    return list(drawn)


def drawn_weights(seed: int) -> dict[str, float]:
    """Weights of 2 to 20 sources, the smallest about a ten-thousandth of the largest."""
    drawn = random.Random(seed)
    return {f"source {n}": 10 ** drawn.uniform(-4, 0) for n in range(drawn.randint(2, 20))}


def furthest_off(mixture: Mixture, picks: list[int], weights: Mapping[str, float]) -> float:
    """The most that a source is off its share at any prefix, in picks."""
    sources = np.array([list(mixture.sizes).index(mixture.locate(pick)[0]) for pick in picks])
    total = sum(weights.values())
    prefixes = np.arange(1, len(picks) + 1)
    return max(
        float(np.abs(np.cumsum(sources == n) - prefixes * (weight / total)).max())
        for n, weight in enumerate(weights.values())
    )


@pytest.mark.parametrize("seed", range(5))
def test_every_prefix_holds_the_shares_within_two_picks(seed: int) -> None:
    weights = drawn_weights(seed)
    mixture = numbers(**{name: 10 + 7 * n for n, name in enumerate(weights)})
    picks = epoch(mixture, 0, weights=weights, num_picks=100_000, seed=seed)
    assert furthest_off(mixture, picks, weights) < 2


@pytest.mark.parametrize("seed", range(40))
def test_even_turns_hold_the_shares_of_any_weights_at_any_place(seed: int) -> None:
    shares = [1 + int(2**48 * weight) for weight in drawn_weights(seed).values()]
    turns, first = Turns(shares), random.Random(seed).choice([0, 12_345, 10**12])
    counts = turns.counts(first)
    for place, source in enumerate(turns.between(first, first + 500), start=first + 1):
        counts[source] += 1
        assert (
            max(
                abs(count * turns.total - place * share)
                for count, share in zip(counts, shares, strict=True)
            )
            < 2 * turns.total
        )
    assert counts == turns.counts(first + 500)


def test_shares_hold_through_epochs_that_are_too_short_for_the_rarest_source() -> None:
    mixture, weights = numbers(common=40, rare=40), {"common": 0.999, "rare": 0.001}
    picks = [pick for number in range(30) for pick in epoch(mixture, number, weights=weights)]
    assert len(picks) == 30 * 80
    assert furthest_off(mixture, picks, weights) < 2


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 8])
def test_ranks_share_one_order(num_ranks: int) -> None:
    mixture = numbers(a=100, b=30, c=3)
    options: dict[str, Any] = {"weights": {"a": 1, "b": 2, "c": 0.1}, "num_picks": 240, "seed": 5}
    ranks = [
        list(MixtureSampler(mixture, **options, rank=rank, num_ranks=num_ranks))
        for rank in range(num_ranks)
    ]
    assert [pick for picks in zip(*ranks, strict=True) for pick in picks] == epoch(
        mixture, 0, **options
    )


def test_no_rank_gets_one_of_two_equal_sources_only() -> None:
    mixture = numbers(a=500, b=500)
    for rank in range(2):
        picks = MixtureSampler(mixture, rank=rank, num_ranks=2)
        names = Counter(mixture.locate(pick)[0] for pick in picks)
        assert 200 < names["a"] < 300


def test_a_source_gives_each_item_once_before_it_gives_one_again() -> None:
    mixture = numbers(short=7, long=1000)
    picks = [
        mixture.locate(pick)
        for number in range(3)
        for pick in epoch(mixture, number, weights={"short": 1, "long": 3}, num_picks=333)
    ]
    given = [place for name, place in picks if name == "short"]
    rounds = [given[start : start + 7] for start in range(0, len(given) // 7 * 7, 7)]
    assert len(rounds) > 30
    assert all(sorted(one) == list(range(7)) for one in rounds)
    assert len({*map(tuple, rounds)}) > 25, "each round has an order of its own"
    assert max(Counter(place for name, place in picks if name == "long").values()) == 1


def test_by_default_an_epoch_is_each_item_once() -> None:
    mixture = numbers(a=17, b=400, c=1)
    assert sorted(epoch(mixture, 0)) == sorted(epoch(mixture, 3)) == list(range(418))
    assert epoch(mixture, 0) != epoch(mixture, 1)


def test_unshuffled_sources_go_in_order() -> None:
    mixture = numbers(a=4, b=4)
    assert epoch(mixture, 0, shuffle=False) == [0, 4, 1, 5, 2, 6, 3, 7]


def test_a_stopped_run_goes_on_with_any_number_of_ranks() -> None:
    mixture = numbers(a=50, b=20, c=5)
    options: dict[str, Any] = {"temperature": 3, "seed": 1, "num_picks": 200}
    whole = epoch(mixture, 2, **options)
    stopped = sampler(mixture, **options)
    stopped.set_epoch(2)
    for _, _ in zip(range(60), stopped, strict=False):
        pass
    state = stopped.state_dict(num_done=60)
    ranks = [MixtureSampler(mixture, **options, rank=rank, num_ranks=2) for rank in range(2)]
    for one in ranks:
        one.load_state_dict(state)
    assert [pick for both in zip(*ranks, strict=True) for pick in both] == whole[60:]


def test_a_run_goes_on_behind_a_hundred_billion_picks() -> None:
    mixture = Mixture({f"source {n}": Huge() for n in range(20)})
    options: dict[str, Any] = {"temperature": 2, "num_picks": 10**12}
    resumed = sampler(mixture, **options)
    resumed.load_state_dict(sampler(mixture, **options).state_dict(num_done=10**11 + 5))
    earlier = sampler(mixture, **options)
    earlier.load_state_dict(sampler(mixture, **options).state_dict(num_done=10**11))
    after, before = iter(resumed), iter(earlier)
    assert [next(before) for _ in range(105)][5:] == [next(after) for _ in range(100)]


class Huge(Dataset[int]):
    """A billion items, none of which is in memory."""

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> int:
        return index


def test_the_order_is_the_same_on_every_machine() -> None:
    picks = epoch(numbers(a=10, b=5, c=2), 0, temperature=1.7, seed=3)
    assert picks == [0, 14, 15, 12, 8, 13, 5, 4, 2, 16, 1, 11, 10, 3, 6, 11, 15]


def test_a_temperature_brings_sizes_nearer_to_each_other() -> None:
    mixture = numbers(large=900, small=100)
    shares = {
        temperature: sampler(mixture, temperature=temperature).shares["small"]
        for temperature in (1, 2, 5, 1e9)
    }
    assert shares[1] == pytest.approx(0.1, abs=1e-12)
    assert shares[2] == pytest.approx(10 / (10 + 30), abs=1e-12)
    assert shares[5] == pytest.approx(100**0.2 / (100**0.2 + 900**0.2), abs=1e-12)
    assert shares[1e9] == pytest.approx(0.5, abs=1e-8)
    assert sampler(mixture, temperature=math.inf).shares["small"] == 0.5
    # so low a temperature leaves the small one next to nothing, and no number runs over
    assert sampler(mixture, temperature=0.1).shares["small"] == pytest.approx(9**-10, rel=1e-3)


def test_shares_of_tokens_pick_a_source_of_long_items_less_often() -> None:
    mixture = numbers(long=100, short=100)
    options: dict[str, Any] = {
        "weights": {"long": 1, "short": 1},
        "by": "tokens",
        "num_tokens": {"long": 3000, "short": 1000},
        "num_picks": 400,
    }
    assert sampler(mixture, **options).shares == pytest.approx({"long": 0.25, "short": 0.75})
    names = Counter(mixture.locate(pick)[0] for pick in epoch(mixture, 0, **options))
    assert names["long"] * 30 == pytest.approx(names["short"] * 10, rel=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"a": 1, "b": 0}}, "weight of 'b'.* over 0"),
        ({"weights": {"a": 1, "b": -1}}, "weight of 'b'.* over 0"),
        ({"weights": {"a": 1, "b": float("nan")}}, "weight of 'b'.* over 0"),
        ({"weights": {"a": 1, "b": float("inf")}}, "weight of 'b'.* over 0"),
        ({"weights": {"a": 1, "b": 10**400}}, "weight of 'b'.* over 0"),
        ({"weights": {"a": 1, "b": True}}, "weight of 'b'.* over 0"),
        ({"weights": {"a": 1, "b": "1"}}, "weight of 'b'.* over 0"),
        ({"weights": {"a": 1, "b": 1e-16}}, "weight of 'b'.*1e-14"),
        ({"weights": {"a": 1}}, "one for each of a, b; got a|expected one for each of a, b"),
        ({"weights": {"a": 1, "b": 1, "c": 1}}, "expected one for each of a, b"),
        ({"weights": {"a": 1, "b": 1}, "temperature": 2}, "expected one of them, got both"),
        ({"temperature": 0}, "temperature of a mixture: expected over 0"),
        ({"temperature": float("nan")}, "temperature of a mixture: expected over 0"),
        ({"by": "frames"}, "expected 'picks' or 'tokens'"),
        ({"by": "tokens"}, "source 'a'.*num_tokens"),
        ({"by": "tokens", "num_tokens": {"a": 1, "b": 0}}, "num_tokens of 'b'"),
        ({"num_tokens": {"a": 1, "b": 1}}, "'tokens' beside num_tokens"),
        ({"num_picks": 0}, "num_picks of a mixture: expected 1 or more"),
    ],
)
def test_what_makes_no_mixture_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler(numbers(a=5, b=6), **options)


def test_a_mixture_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="each by its name, got none"):
        Mixture({})
    with pytest.raises(ConfigError, match="each by its name, got list"):
        Mixture([TensorDataset(torch.arange(2))])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="expected a Mixture, got dict"):
        MixtureSampler({"full": TensorDataset(torch.arange(2))})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"source 'empty'.* with items, got none"):
        numbers(full=1, empty=0)


@pytest.mark.parametrize(
    "other",
    [
        {"weights": {"a": 1, "b": 2.5}},
        {"num_picks": 99},
        {"seed": 1},
        {"mixture": {"a": 10, "b": 21}},
        {"mixture": {"b": 20, "a": 10}, "weights": {"a": 1, "b": 2}},
        {"mixture": {"a": 10, "c": 20}, "weights": {"a": 1, "c": 2}},
    ],
)
def test_a_state_of_another_mixture_is_refused(other: dict[str, Any]) -> None:
    options: dict[str, Any] = {"weights": {"a": 1, "b": 2}, "num_picks": 100, "seed": 0}
    state = sampler(numbers(a=10, b=20), **options).state_dict(num_done=3)
    mixture = numbers(**other.pop("mixture", {"a": 10, "b": 20}))
    with pytest.raises(ConfigError, match="state of a sampler"):
        sampler(mixture, **options | other).load_state_dict(state)


def test_a_state_is_of_the_tokens_in_the_stores(tmp_path: Path) -> None:
    def windows(name: str, first: int) -> TokenWindows:
        with StoreWriter(tmp_path / name, name="units", codebook_size=100) as writer:
            writer.write("a", np.arange(first, first + 40))
        return TokenWindows(tmp_path / name, 8)

    other = windows("other", 0)
    mixture = Mixture({"one": windows("one", 3), "other": other})
    state = sampler(mixture).state_dict(num_done=2)
    sampler(Mixture({"one": windows("copy", 3), "other": other})).load_state_dict(state)
    with pytest.raises(ConfigError, match="state of a sampler"):
        sampler(Mixture({"one": windows("changed", 4), "other": other})).load_state_dict(state)


def test_items_tell_their_source() -> None:
    dicts = TensorDataset(torch.arange(3))
    mixture = Mixture({"a": dicts, "b": [{"id": "x"}]}, name_as="source")  # type: ignore[dict-item]
    assert mixture[3] == mixture[-1] == {"id": "x", "source": "b"}
    assert mixture[1] == {"item": (torch.tensor(1),), "source": "a"}
    assert (mixture.locate(2), mixture.locate(3)) == (("a", 2), ("b", 0))
    with pytest.raises(IndexError):
        mixture[4]


def test_a_loader_gives_batches_of_all_sources() -> None:
    mixture = Mixture(
        {"a": TensorDataset(torch.zeros(30, 4)), "b": TensorDataset(torch.ones(10, 4))},
        name_as="source",
    )
    order = sampler(mixture, weights={"a": 1, "b": 1}, num_picks=16)
    for batch in DataLoader(mixture, batch_size=8, sampler=order, num_workers=0):
        (values,) = batch["item"]
        assert [*map(int, values[:, 0])] == [int(name == "b") for name in batch["source"]]
