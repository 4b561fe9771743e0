"""Who reads a sampler decides what it gives: its share, the whole order, or a refusal."""

from __future__ import annotations

import copy
import pickle
import weakref
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import accelerate.data_loader
import pytest
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Sampler,
)
from transformers.trainer_pt_utils import IterableDatasetShard

from featbank.dataset import BucketBatchSampler, ResumableSampler
from featbank.errors import ConfigError


def sampler_of(**options: Any) -> ResumableSampler[list[int]]:
    return BucketBatchSampler([10] * 29, max_frames=10, shuffle=False, **options)


WHOLE = [[number] for number in range(29)]


class Kept(Dataset[Any]):
    """Whatever it is asked for."""

    def __getitem__(self, place: Any) -> Any:
        return place


KEPT = Kept()


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")


class Wrapper(Sampler[Any]):
    """What a framework puts around a sampler."""

    def __init__(self, sampler: Any, **attributes: Any) -> None:
        self.sampler = sampler
        vars(self).update(attributes)

    def __iter__(self) -> Iterator[Any]:
        return (pick for pick in self.sampler)

    def __len__(self) -> int:
        return len(self.sampler)


class DistributedSamplerWrapper(DistributedSampler[Any]):
    """As Lightning, speechbrain, Catalyst and Ignite have it."""

    def __init__(self, sampler: Any) -> None:
        super().__init__(sampler, num_replicas=2, rank=1, shuffle=False)

    def __iter__(self) -> Iterator[Any]:
        picks = list(self.dataset)  # type: ignore[call-overload]
        return (picks[place] for place in super(type(self), self).__iter__())


@pytest.mark.usefixtures("second_of_two")
def test_ranks_of_the_launcher_are_looked_up_when_a_sampler_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sampler = sampler_of()
    assert (len(sampler), sampler.rank, sampler.num_ranks) == (15, 1, 2)
    assert list(sampler) == [*WHOLE[1::2], WHOLE[0]]
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert (len(sampler), list(sampler)) == (10, [*WHOLE[1::3]])
    loader: Any = DataLoader(KEPT, batch_sampler=sampler_of(), collate_fn=list, num_workers=1)
    assert (len(loader), list(loader)) == (10, WHOLE[1::3])


@pytest.mark.parametrize(
    ("rank", "size"), [(None, "2"), ("", "2"), ("2", "2"), ("-1", "2"), ("one", "2"), ("1", None)]
)
def test_a_rank_that_is_not_known_is_refused(
    monkeypatch: pytest.MonkeyPatch, rank: str | None, size: str | None
) -> None:
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    sampler = sampler_of()
    for ask in (len, iter, list):
        with pytest.raises(
            ConfigError, match="expected a process group, or RANK and WORLD_SIZE in"
        ):
            ask(sampler)
    typed = sampler_of(rank=0, num_ranks=2)
    assert (len(typed), list(typed)[:2]) == (15, WHOLE[:4:2])


@pytest.mark.usefixtures("second_of_two")
@pytest.mark.parametrize("name", ["num_replicas", "num_processes"])
def test_a_sampler_that_shares_out_is_given_the_whole_order(name: str) -> None:
    for outer in (
        Wrapper(sampler_of(), **{name: 2}),
        Wrapper(Wrapper(sampler_of(), **{name: 1}), **{name: 3}),
        # its generator runs when the wrapper has returned, and only a loader knows of that
        Wrapper(BatchSampler(sampler_of(), 1, drop_last=False), **{name: 2}),
    ):
        assert len(outer) == 29
        assert len([*DataLoader(KEPT, batch_sampler=outer, collate_fn=list)]) == 29
    assert [*Wrapper(sampler_of(), **{name: 1})] == [*WHOLE[1::2], WHOLE[0]]
    assert [*Wrapper(sampler_of(rank=0, num_ranks=2), **{name: 2})] == WHOLE[::2]
    distributed = DistributedSamplerWrapper(sampler_of())
    assert (len(distributed), [*distributed]) == (15, [*WHOLE[1::2], WHOLE[0]])


@pytest.mark.usefixtures("second_of_two")
def test_a_part_of_a_part_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    outer = Wrapper(sampler_of(rank=0, num_ranks=1), num_replicas=2)
    assert [*outer] == WHOLE
    assert not caplog.messages
    outer = Wrapper(sampler_of(rank=0, num_ranks=2), num_replicas=2)
    assert [*outer] == WHOLE[::2]
    assert caplog.messages == [
        "Wrapper splits what rank=0, num_ranks=2 gives: each rank gets a part of a part"
    ]


@pytest.mark.usefixtures("second_of_two")
def test_what_is_no_sampler_shares_nothing_out() -> None:
    class Launcher:
        num_processes = num_replicas = 2

        def launch(self) -> list[list[int]]:
            return list(sampler_of())

    class Numbers(Dataset[int]):
        num_replicas = 2

        def __getitem__(self, place: int) -> int:
            return list(sampler_of())[place][0]

    assert Launcher().launch() == [*WHOLE[1::2], WHOLE[0]]
    assert Numbers()[1] == 3


@pytest.mark.usefixtures("second_of_two")
def test_a_sampler_that_may_share_out_is_refused_on_several_ranks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outer = Wrapper(sampler_of(), world=2)
    with pytest.raises(
        ConfigError,
        match="Wrapper reads on one of 2 ranks: expected one with an attribute num_repl",
    ):
        list(outer)

    class Unheard(Iterable[Any]):
        """What shares out by itself, and is no sampler of torch's."""

        def __iter__(self) -> Iterator[Any]:
            return islice(sampler_of(), 1, None, 2)

    loader: Any = DataLoader(KEPT, batch_sampler=Unheard(), collate_fn=list)
    with pytest.raises(ConfigError, match="sampler that Unheard reads on one of 2 ranks"):
        list(loader)
    assert [*Wrapper(sampler_of(rank=1, num_ranks=2))] == [*WHOLE[1::2], WHOLE[0]]
    assert [*Wrapper(sampler_of(rank=0, num_ranks=1))] == WHOLE
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert [*outer] == WHOLE


class Every(Wrapper):
    """Gives its rank every second pick, by generators that outlive the call that makes them."""

    def __init__(self, sampler: Any, how: str) -> None:
        super().__init__(sampler, num_replicas=2)
        self.how = how

    def __iter__(self) -> Iterator[Any]:
        sampler = self.sampler

        def by_local_name() -> Iterator[Any]:
            yield from islice(sampler, 1, None, 2)

        def by_argument(picks: Any) -> Iterator[Any]:
            yield from islice(picks, 1, None, 2)

        if self.how == "held":
            return (pick for place in (1,) for pick in islice(self.sampler, place, None, 2))
        return by_local_name() if self.how == "local" else by_argument(sampler)


@pytest.mark.usefixtures("second_of_two")
def test_a_generator_that_outlives_its_sampler_is_refused_unless_it_tells_of_it() -> None:
    assert [*Every(sampler_of(), "held")] == WHOLE[1::2]
    for how in ("local", "argument"):
        with pytest.raises(ConfigError, match="sampler that Every reads on one of 2 ranks"):
            list(Every(sampler_of(), how))
        assert [*Every(sampler_of(rank=0, num_ranks=1), how)] == WHOLE[1::2]
        loader: Any = DataLoader(KEPT, batch_sampler=Every(sampler_of(), how), collate_fn=list)
        assert [*loader] == WHOLE[1::2]


@pytest.mark.usefixtures("second_of_two")
def test_a_sampler_that_is_only_handed_to_a_function_shares_nothing_out() -> None:
    def train(of_something_else: Any, batches: Any) -> list[Any]:
        return [batch for batch in batches if of_something_else]

    for other in (DistributedSamplerWrapper(sampler_of()), Wrapper(sampler_of(), num_replicas=2)):
        assert train(other, sampler_of()) == [*WHOLE[1::2], WHOLE[0]]


def test_a_training_loop_may_let_go_of_what_it_had_when_a_sampler_was_read() -> None:
    def train(_model: Any, sampler: Any) -> bool:
        values = Kept()
        held = weakref.ref(values)
        list(sampler)
        del values
        return held() is not None

    assert not train("a model", sampler_of())


class Parts(IterableDataset[Any]):
    """Reads a sampler where it is: in the training process, or in a worker."""

    def __init__(self, **options: Any) -> None:
        self.sampler = sampler_of(**options)

    def __iter__(self) -> Iterator[Any]:
        yield from self.sampler


@pytest.mark.usefixtures("second_of_two")
def test_a_part_of_an_iterable_dataset_is_a_part_of_the_whole_order() -> None:
    for shard in (accelerate.data_loader.IterableDatasetShard, IterableDatasetShard):
        part = shard(Parts(), batch_size=1, num_processes=2, process_index=1)
        assert [*part] == [*WHOLE[1::2], WHOLE[0]]
        assert [*shard(Parts(), batch_size=1)] == [*WHOLE[1::2], WHOLE[0]]


@pytest.mark.usefixtures("second_of_two")
def test_a_worker_that_cannot_see_who_reads_its_loader_is_refused_on_several_ranks() -> None:
    def given(method: str, **options: Any) -> list[Any]:
        loader: Any = DataLoader(
            Parts(**options), None, num_workers=1, multiprocessing_context=method
        )
        return [*loader]

    assert given("fork") == [*WHOLE[1::2], WHOLE[0]]
    with pytest.raises(ConfigError, match="sampler that a worker reads on one of 2 ranks"):
        given("spawn")
    assert given("spawn", rank=1, num_ranks=2) == [*WHOLE[1::2], WHOLE[0]]


@pytest.mark.usefixtures("second_of_two")
def test_a_resumable_sampler_that_reads_another_reads_all_of_it() -> None:
    class Twice(ResumableSampler[list[int]]):
        def _order(self) -> Sequence[list[int]]:
            return [pick for pick in sampler_of() for _ in range(2)]

        def _num_picks(self) -> int:
            return 2 * len(sampler_of())

        def _made_from(self) -> str:
            return ""

    twice = Twice(shuffle=False, seed=0, drop_last=False, rank=None, num_ranks=None)
    assert (len(twice), list(twice)) == (29, WHOLE)


def test_a_state_under_a_sampler_that_permutes_is_refused() -> None:
    sampler = sampler_of()
    outer = DistributedSamplerWrapper(sampler)
    next(iter(outer))
    for num_done in (None, 1):
        with pytest.raises(ConfigError, match="expected its picks in their order, got an order of"):
            sampler.state_dict(num_done)
    other = sampler_of()
    other.load_state_dict(sampler_of().state_dict(3))
    with pytest.raises(ConfigError, match="got DistributedSamplerWrapper, which takes places of a"):
        list(DistributedSamplerWrapper(other))


def test_a_sampler_that_is_told_by_its_wrapper_does_not_count_by_itself() -> None:
    sampler = BucketBatchSampler([10] * 29, max_frames=10)
    outer = DistributedSamplerWrapper(sampler)
    assert [*outer] == [*outer]  # as a DistributedSampler does that nobody tells
    sampler.set_epoch(1)
    assert sampler.epoch == 1


@pytest.mark.parametrize("persistent", [False, True])
def test_a_state_is_not_taken_while_workers_are_ahead(persistent: bool) -> None:
    sampler = sampler_of()
    loader: Any = DataLoader(
        WHOLE, batch_sampler=sampler, num_workers=1, persistent_workers=persistent
    )
    for step, _ in enumerate(loader, start=1):
        if step in (1, 28):
            with pytest.raises(ConfigError, match="loader fetches ahead: expected num_done=, the"):
                sampler.state_dict()
            assert sampler.state_dict(step)["num_done"] == step
        if step == 29:
            assert sampler.state_dict()["num_done"] == 29
    assert sampler.state_dict()["num_done"] == 29
    next(iter(loader))
    with pytest.raises(ConfigError, match="loader fetches ahead"):
        sampler.state_dict()


def test_samplers_are_copied_while_they_are_read() -> None:
    sampler = sampler_of()
    iterator = iter(sampler)
    next(iterator)
    for again in (copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):  # noqa: S301
        assert again.state_dict() == sampler.state_dict()
        assert list(again) == WHOLE
