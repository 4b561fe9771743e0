"""The folder through which coordinator and workers talk, seen from both sides."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from featbank.runners.exchange import Beat, Exchange


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    made = Exchange.create(tmp_path / "shared", b"worker")
    made.beat_coordinator(0)
    return made


def test_the_folder_is_its_user_s_alone(exchange: Exchange) -> None:
    assert stat.S_IMODE(exchange.folder.stat().st_mode) == 0o700
    assert exchange.make_worker.read_bytes() == b"worker"


def test_a_task_is_claimed_once_the_oldest_first(exchange: Exchange) -> None:
    for number in (1, 0):
        exchange.offer(f"00{number}-0", b"task %d" % number)
    assert exchange.claim("7_0.0") == ("000-0", b"task 0")
    assert exchange.claim("7_1.0") == ("001-0", b"task 1")
    assert exchange.claim("7_2.0") is None
    assert exchange.claims() == {"000-0": "7_0.0", "001-0": "7_1.0"}
    assert exchange.unclaimed() == set()


def test_a_result_is_given_once_and_ends_the_claim(exchange: Exchange) -> None:
    exchange.offer("000-0", b"task")
    exchange.claim("7.0")
    exchange.answer("000-0", "7.0", b"result")
    assert exchange.claims() == {}
    assert list(exchange.results()) == [("000-0", b"result")]
    assert list(exchange.results()) == []


def test_a_task_given_back_is_claimed_by_another(exchange: Exchange) -> None:
    exchange.offer("000-0", b"task")
    exchange.claim("7_0.0")
    exchange.give_back("000-0", "7_0.0")
    assert exchange.claim("7_1.0") == ("000-0", b"task")


def test_a_task_is_taken_back_from_a_dead_worker_and_not_from_one_that_is_done(
    exchange: Exchange,
) -> None:
    for number in range(2):
        exchange.offer(f"00{number}-0", b"task")
        exchange.claim("7.0")
    exchange.answer("001-0", "7.0", b"result")
    assert exchange.take_back("000-0", "7.0")
    assert not exchange.take_back("001-0", "7.0")
    exchange.give_back("000-0", "7.0")  # it was not dead after all, but it is too late
    assert exchange.unclaimed() == set()


def test_signs_of_life_are_seen_on_the_other_side(exchange: Exchange) -> None:
    exchange.beat("7.0", Beat(count=3, task="000-0", done_s=1.5))
    assert exchange.beats() == {"7.0": Beat(count=3, task="000-0", done_s=1.5)}
    exchange.beat_coordinator(9)
    assert exchange.coordinator() == 9
    exchange.end()
    assert exchange.coordinator() is None


def test_a_straggler_finds_nothing_to_do_and_nobody_to_tell(exchange: Exchange) -> None:
    exchange.offer("000-0", b"task")
    exchange.claim("7.0")
    exchange.remove()
    assert not exchange.folder.exists()
    assert exchange.claim("7.0") is None
    exchange.answer("000-0", "7.0", b"result")
    exchange.beat("7.0", Beat(count=1))
    exchange.give_back("000-0", "7.0")
    assert exchange.coordinator() is None
    assert not exchange.folder.exists()


def test_logs_may_stay(exchange: Exchange) -> None:
    exchange.remove(keep_logs=True)
    assert [path.name for path in exchange.folder.iterdir()] == ["logs"]
