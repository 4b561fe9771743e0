"""What every runner promises, with real processes that are really killed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from featbank.base.notices import AT_WORK, Notice, listening
from featbank.errors import ConfigError, FeatbankError
from featbank.runners.base import NOT_YET, NotYet
from tests.runners.conftest import MakeRunner
from tests.runners.workers import (
    Deadly,
    Refuses,
    Sleeper,
    Squares,
    Whereabouts,
    noted,
    refuse_to_be_made,
)
from tests.waiting import wait_until, wait_until_gone


def _ignore(_: float) -> None:
    pass


@pytest.mark.parametrize("num_workers", [1, 4])
def test_every_task_gives_its_result_once_and_its_progress(
    make_runner: MakeRunner, num_workers: int
) -> None:
    told: list[float] = []
    heard: list[Notice] = []
    with listening(heard.append):
        results = make_runner(num_workers).run(Squares, range(23), told.append)
        assert sorted(results) == [number * number for number in range(23)]
    assert sum(told) == pytest.approx(23)
    assert min(told) > 0
    assert sum(notice.failures for notice in heard) == 23
    assert sum(notice.reused for notice in heard) == pytest.approx(11.5)
    # a worker that is slow to tell may be at work before anybody has heard of its weights
    assert [notice.phase for notice in heard if notice.phase is not None][-1] == AT_WORK


def test_without_a_task_nothing_is_started(make_runner: MakeRunner) -> None:
    assert list(make_runner(2).run(refuse_to_be_made, iter([]), _ignore)) == []


def test_tasks_without_end_are_taken_a_few_ahead_of_the_results(make_runner: MakeRunner) -> None:
    taken = 0

    def tasks() -> Iterator[int]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield number

    with closing(make_runner(2).run(Squares, tasks(), _ignore)) as results:
        for given, _ in enumerate(itertools.islice(results, 50), start=1):
            assert taken <= given + 8
    assert taken >= 50


@pytest.mark.parametrize("num_workers", [1, 4])
def test_a_task_that_waits_for_results_is_handed_out_once_these_are_taken(
    make_runner: MakeRunner, num_workers: int
) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int | NotYet]:
        for generation in range(3):
            while len(taken) < 5 * generation:  # each waits for all results of the one before it
                yield NOT_YET
            yield from range(5)

    for result in make_runner(num_workers).run(Squares, tasks(), _ignore):
        taken.append(result)  # noqa: PERF402 - the tasks look at it
    assert sorted(taken) == sorted([0, 1, 4, 9, 16] * 3)


def test_tasks_that_wait_for_a_result_that_cannot_come_end_the_run(make_runner: MakeRunner) -> None:
    results = make_runner(2).run(Squares, itertools.chain([3], itertools.repeat(NOT_YET)), _ignore)
    assert next(results) == 9
    with pytest.raises(FeatbankError, match="tasks for workers: expected one, or an end"):
        list(results)


def test_a_worker_is_made_once_a_process(make_runner: MakeRunner) -> None:
    results = list(make_runner(2).run(Whereabouts, ["HOME"] * 12, _ignore))
    assert {number for _, number, _ in results} == {1}
    assert len(results) == 12
    assert 1 <= len(Counter(pid for pid, _, _ in results)) <= 2


def test_the_number_of_workers_is_known_before_a_run(make_runner: MakeRunner) -> None:
    assert make_runner(2).count_workers() == 2


@pytest.mark.parametrize(
    ("task", "kind", "text"),
    [
        ("value", ValueError, "no such thing"),
        ("config", ConfigError, "a value: expected one, got two; change it"),
        ("awkward", FeatbankError, "AwkwardError: this and that"),
    ],
)
def test_an_error_travels_back_with_its_type_its_text_and_its_traceback(
    make_runner: MakeRunner, task: str, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        list(make_runner(1).run(Refuses, [task], _ignore))
    assert type(caught.value) is kind
    assert str(caught.value) == text
    [note] = caught.value.__notes__
    assert "in __call__" in note
    assert "tests/runners/workers.py" in note


def test_a_result_that_cannot_be_pickled_is_an_error(make_runner: MakeRunner) -> None:
    with pytest.raises(Exception, match="pickle"):
        list(make_runner(1).run(Refuses, ["lambda"], _ignore))


def test_an_error_in_making_a_worker_travels_back(make_runner: MakeRunner) -> None:
    with pytest.raises(ConfigError, match="a worker: expected to be made, got nothing"):
        list(make_runner(2).run(refuse_to_be_made, range(5), _ignore))


def test_a_worker_killed_in_the_midst_of_its_task_costs_that_task_a_second_try(
    make_runner: MakeRunner, tmp_path: Path
) -> None:
    told: list[float] = []
    worker = Deadly(tmp_path, deadly=(1, 4), deaths=1)
    heard: list[Notice] = []
    with listening(heard.append):
        results = make_runner(2).run(worker, range(8), told.append)
        assert sorted(results) == list(range(8))
    tries = Counter(int(path.name.split(".")[0]) for path in tmp_path.iterdir())
    assert tries == {task: 2 if task in (1, 4) else 1 for task in range(8)}
    assert sum(told) == pytest.approx(8)
    assert sum(notice.failures for notice in heard) == 8


def test_a_task_that_kills_every_worker_ends_the_run(
    make_runner: MakeRunner, tmp_path: Path
) -> None:
    worker = Deadly(tmp_path, deadly=(2,), deaths=1000)
    with pytest.raises(
        FeatbankError, match="3 workers died of one task: expected a result"
    ) as all_:
        list(make_runner(2).run(worker, range(5), _ignore))
    assert type(all_.value) is FeatbankError
    assert ", at 2; " in str(all_.value)
    pids = [path.name.split(".")[1] for path in tmp_path.glob("2.*")]
    assert len(set(pids)) == 3


def test_an_error_ends_the_workers_that_are_busy(make_runner: MakeRunner, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="task 0 cannot be done"):
        list(make_runner(2).run(Sleeper(tmp_path, fails=True), range(2), _ignore))
    wait_until_gone(noted(tmp_path))


def test_an_error_in_making_the_tasks_ends_the_workers_and_comes_as_it_is(
    make_runner: MakeRunner, tmp_path: Path
) -> None:
    def tasks() -> Iterator[int]:
        yield from (1, 0)  # the first one sleeps, the second one is done once that has begun
        wait_until((tmp_path / "sleeping").exists, "no task is begun")
        raise ConfigError("the third task", expected="to be made", got="nothing")

    results = make_runner(2).run(Sleeper(tmp_path), tasks(), _ignore)
    with pytest.raises(ConfigError, match="the third task: expected to be made, got nothing"):
        list(results)
    wait_until_gone(noted(tmp_path))


def test_closing_early_ends_all_workers(make_runner: MakeRunner, tmp_path: Path) -> None:
    results = make_runner(2).run(Sleeper(tmp_path), range(5), _ignore)
    assert next(results) == 0
    results.close()
    pids = noted(tmp_path)
    assert pids
    wait_until_gone(pids)
