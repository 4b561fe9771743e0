"""Samplers count epochs by themselves, go on exactly, and refuse states that are not theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Sampler
from torchdata.stateful_dataloader import StatefulDataLoader

from featbank.dataset import ResumableSampler
from featbank.dataset.permutation import Permutation
from featbank.errors import ConfigError

NUM_PICKS = 29

# torchdata 0.11 with torch 2.14
TORCHDATA = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")


class Numbers(ResumableSampler[int]):
    """The numbers below 29 in an order of each epoch."""

    def __init__(self, num_picks: int = NUM_PICKS, **options: Any) -> None:
        self._picks = num_picks
        defaults = {"shuffle": True, "seed": 0, "drop_last": False, "rank": None, "num_ranks": None}
        super().__init__(**{**defaults, **options})

    def _order(self) -> Sequence[int]:
        return Permutation(self._picks, self.seed, self.epoch)

    def _num_picks(self) -> int:
        return self._picks

    def _made_from(self) -> str:
        return str(self._picks)


EPOCHS = [list(Permutation(NUM_PICKS, 0, epoch)) for epoch in range(9)]


def resumed(epoch: int, num_done: int, **options: Any) -> Numbers:
    before = Numbers(**options)
    before.set_epoch(epoch)
    sampler = Numbers(**options)
    sampler.load_state_dict(before.state_dict(num_done))
    return sampler


def test_each_iteration_is_of_the_next_epoch() -> None:
    sampler = Numbers()
    assert [list(sampler) for _ in range(4)] == EPOCHS[:4]
    sampler.set_epoch(7)
    assert [list(sampler), list(sampler)] == EPOCHS[7:]
    sampler.set_epoch(8)  # as a validation does, that is told the same epoch again
    assert list(sampler) == EPOCHS[8]
    # a loop that stops by counting has had its epoch, too
    counting = zip(range(NUM_PICKS), Numbers(), strict=False)
    assert [pick for _, pick in counting] == EPOCHS[0]


def test_an_iteration_that_was_broken_off_is_begun_again() -> None:
    sampler = Numbers()
    next(iter(sampler))
    assert list(sampler) == EPOCHS[0]
    assert list(sampler) == EPOCHS[1]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_look_at_the_first_batch_takes_nothing_away(num_workers: int) -> None:
    sampler = resumed(3, 20)
    loader: Any = DataLoader(range(NUM_PICKS), None, sampler=sampler, num_workers=num_workers)
    for _ in range(2):
        assert next(iter(loader)) == EPOCHS[3][20]
    assert list(loader) == EPOCHS[3][20:]
    assert list(loader) == EPOCHS[4]


@pytest.mark.parametrize("first", [0, 2, 3])
def test_a_loop_counts_its_epochs_from_where_it_was_or_from_0(first: int) -> None:
    sampler = resumed(3, 20)
    passes = []
    for epoch in range(first, first + 3):
        for _ in range(2):  # frameworks tell it more than once
            sampler.set_epoch(epoch)
        passes.append(list(sampler))
    assert passes == [EPOCHS[3][20:], EPOCHS[4], EPOCHS[5]]


def test_a_loop_may_tell_the_epoch_behind_each_pass() -> None:
    for told in (1, 4):
        sampler = resumed(3, 20)
        assert list(sampler) == EPOCHS[3][20:]
        sampler.set_epoch(told)
        assert list(sampler) == EPOCHS[4]


def test_a_later_epoch_than_the_one_of_the_state_begins_anew() -> None:
    sampler = resumed(3, 20)
    sampler.set_epoch(5)
    assert list(sampler) == EPOCHS[5]
    sampler.set_epoch(4)
    assert list(sampler) == EPOCHS[4]


def test_a_length_is_of_the_whole_epoch_and_what_remains_is_told_apart() -> None:
    sampler = resumed(3, 20)
    assert (len(sampler), sampler.remaining) == (29, 9)
    iterator = iter(sampler)
    next(iterator)
    assert (len(sampler), sampler.remaining) == (29, 8)
    assert (len([*iterator]), sampler.remaining) == (8, 0)
    sampler.set_epoch(4)
    assert (len(sampler), sampler.remaining) == (29, 29)
    shared = resumed(3, 10, rank=1, num_ranks=2)
    assert (len(shared), shared.remaining) == (15, 5)
    assert (len(DataLoader(EPOCHS, batch_sampler=sampler)), sampler.sampler) == (29, sampler)


@TORCHDATA
@pytest.mark.parametrize("num_workers", [0, 1, 2])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_stateful_loader_goes_on_at_every_place(num_workers: int, batch_size: int | None) -> None:
    def loader() -> Any:
        return StatefulDataLoader(
            range(NUM_PICKS), batch_size, sampler=Numbers(), num_workers=num_workers
        )

    def values(batches: Any) -> list[int]:
        return [int(value) for batch in batches for value in np.atleast_1d(batch)]

    num_batches = -(-NUM_PICKS // (batch_size or 1))
    for num_done in (
        (0, 1, 3, num_batches - 1, num_batches) if not num_workers else (3, num_batches)
    ):
        stopped = loader()
        list(stopped)
        iterator = iter(stopped)
        head = [next(iterator) for _ in range(num_done)]
        state = stopped.state_dict()
        again = loader()
        again.load_state_dict(state)
        rest = list(again)
        assert values(head + rest) == EPOCHS[1]
        assert values(list(again)) == EPOCHS[2]
    # a loader that has ended its epoch begins the next
    ended = loader()
    list(ended)
    again = loader()
    again.load_state_dict(ended.state_dict())
    assert values(again) == EPOCHS[1]


@TORCHDATA
def test_a_loader_that_notes_its_place_now_and_then_goes_on_on_as_many_ranks() -> None:
    def loader(rank: int, num_ranks: int) -> Any:
        sampler = Numbers(rank=rank, num_ranks=num_ranks)
        return StatefulDataLoader(
            range(NUM_PICKS), None, sampler=sampler, num_workers=1, snapshot_every_n_steps=3
        )

    stopped = loader(1, 2)
    iterator = iter(stopped)
    states = []
    for _ in range(4):
        next(iterator)
        states.append(stopped.state_dict())
    again = loader(1, 2)
    again.load_state_dict(states[3])
    assert list(again) == [*EPOCHS[0][9::2], EPOCHS[0][0]]
    other = loader(2, 3)
    other.load_state_dict(states[3])  # the third place, and one batch to be read again
    with pytest.raises(ConfigError, match="expected the 2 ranks that it was taken on, got 3"):
        list(other)
    other = loader(2, 3)
    other.load_state_dict(states[2])
    assert list(other) == [*EPOCHS[0][8::3], EPOCHS[0][0]]


@TORCHDATA
def test_a_loop_around_a_stateful_loader_may_count_from_0() -> None:
    stopped: Any = StatefulDataLoader(range(NUM_PICKS), None, sampler=Numbers())
    list(stopped)
    iterator = iter(stopped)
    next(iterator)
    for first in (0, 1):
        sampler = Numbers()
        loader: Any = StatefulDataLoader(range(NUM_PICKS), None, sampler=sampler)
        loader.load_state_dict(stopped.state_dict())
        passes = []
        for epoch in range(first, first + 3):
            sampler.set_epoch(epoch)
            passes.append(list(loader))
        assert passes == [EPOCHS[1][1:], EPOCHS[2], EPOCHS[3]]


def test_states_of_other_ids_or_of_another_order_of_them_are_refused() -> None:
    state = json.loads(json.dumps(Numbers(ids=["a", "bc"]).state_dict(2)))
    Numbers(ids=iter(["a", "bc"])).load_state_dict(state)
    for ids in (["bc", "a"], ["ab", "c"], ["a"], [], None):
        with pytest.raises(ConfigError, match="expected the data, in the same order, that it is"):
            Numbers(ids=ids).load_state_dict(state)
    for options in ({"num_picks": 30}, {"seed": 1}, {"shuffle": False}):
        with pytest.raises(ConfigError, match="expected the data, seed and settings that it is of"):
            Numbers(**{"ids": ["a", "bc"], **options}).load_state_dict(state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_done": "3"}, "num_done of a sampler's state: expected a whole number.*got '3'"),
        ({"num_done": 3.0}, "expected a whole number, 0 or more, got 3.0"),
        ({"num_done": True}, "expected a whole number, 0 or more, got True"),
        ({"num_done": torch.tensor(True)}, "expected a whole number"),
        ({"num_done": np.True_}, "expected a whole number"),
        ({"num_done": None}, "expected a whole number, 0 or more, got None"),
        ({"num_done": -1}, "expected a whole number, 0 or more, got -1"),
        ({"num_done": 30}, "expected 0 to 29, as many as there are, got 30"),
        ({"epoch": -1}, "epoch of a sampler's state: expected a whole number, 0 or more, got -1"),
        ({"epoch": [1]}, "expected a whole number"),
        ({"order": None}, "expected the data, seed and settings"),
        (
            {"more": 1},
            "expected epoch, num_done, num_ranks, ids, order, got epoch, .*, more",
        ),
    ],
)
def test_malformed_states_are_refused_and_change_nothing(
    changes: dict[str, Any], message: str
) -> None:
    sampler = resumed(3, 20)
    with pytest.raises(ConfigError, match=message):
        sampler.load_state_dict({**Numbers().state_dict(), **changes})
    assert list(sampler) == EPOCHS[3][20:]


@pytest.mark.parametrize("state", [None, {}, [], "state", {"epoch": 0, "num_done": 0}])
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(
        ConfigError, match="state of a sampler: expected epoch, num_done, num_ranks, i"
    ):
        Numbers().load_state_dict(state)


def test_whole_numbers_of_numpy_and_torch_are_taken() -> None:
    sampler = Numbers()
    numbers = {"epoch": torch.tensor(3), "num_done": np.int64(20)}
    sampler.load_state_dict({**sampler.state_dict(), **numbers})
    assert list(sampler) == EPOCHS[3][20:]
    assert json.loads(json.dumps(sampler.state_dict())) == sampler.state_dict()


def test_counts_and_epochs_that_cannot_be_are_refused() -> None:
    sampler = Numbers(rank=0, num_ranks=2)
    assert sampler.state_dict(15)["num_done"] == 29
    for num_done in (16, -1, "3", 2.0):
        with pytest.raises(ConfigError, match="num_done: expected"):
            sampler.state_dict(num_done)  # type: ignore[arg-type]
    for epoch in (-1, 1.0, "1", True):
        with pytest.raises(ConfigError, match="epoch: expected a whole number, 0 or more"):
            sampler.set_epoch(epoch)  # type: ignore[arg-type]


class Passing(Sampler[int]):
    """Hands on what another sampler gives, and its states not."""

    def __init__(self, sampler: Numbers) -> None:
        self.sampler = sampler

    def __iter__(self) -> Iterator[int]:
        yield from self.sampler


@TORCHDATA
def test_a_loader_that_goes_on_by_skipping_must_tell_the_epoch() -> None:
    def loader(sampler: Numbers) -> Any:
        return StatefulDataLoader(range(NUM_PICKS), None, sampler=Passing(sampler))

    stopped = loader(Numbers())
    list(stopped)
    iterator = iter(stopped)
    head = [next(iterator) for _ in range(3)]
    told, untold, twice = Numbers(), Numbers(), resumed(1, 3)
    told.set_epoch(1)
    for sampler in (told, untold, twice):
        again = loader(sampler)
        again.load_state_dict(stopped.state_dict())
        if sampler is told:
            assert head + list(again) == EPOCHS[1]
            continue
        with pytest.raises(ConfigError, match=r"expected (set_epoch|to be iterated from there)"):
            list(again)
