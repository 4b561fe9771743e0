"""The folder through which coordinator and workers talk, seen from both sides."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from featbank.base.notices import TaskProgress
from featbank.runners.exchange import Beat, Exchange
from tests.waiting import HANG_S


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


HALF = TaskProgress(done_s=1.5, reused_s=0.5, failures=2, phase="loading weights")


def test_signs_of_life_are_seen_on_the_other_side(exchange: Exchange) -> None:
    exchange.beat("7.0", Beat(count=3, task="000-0", progress=HALF))
    assert exchange.beats() == {"7.0": Beat(count=3, task="000-0", progress=HALF)}
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


def test_a_sign_of_life_that_cannot_be_read_is_none(exchange: Exchange) -> None:
    exchange.beat("7_0.0", Beat(count=1))
    (exchange.folder / "beats" / "7_1.0").mkdir()  # an OSError, as a stale handle of NFS is
    assert exchange.beats() == {"7_0.0": Beat(count=1)}


_LIFE = """
import sys, threading, time
from tests.waiting import wait_until
from featbank.runners.exchange import Exchange
from featbank.runners.slurm_worker import _Duty, _Life
exchange = Exchange.create(sys.argv[1], b"worker")
exchange.beat_coordinator(0)
beats = exchange.folder / "beats"
away = beats.rename(exchange.folder / "away")
beats.touch()  # each sign of life, there and back, is an OSError
failed = []
def beat(self, *arguments, give=Exchange.beat):
    try:
        give(self, *arguments)
    except OSError:
        failed.append(arguments)
        raise
Exchange.beat = beat
threading.Thread(target=_Life(_Duty(exchange), 0.05, float(sys.argv[2])).show, daemon=True).start()
wait_until(lambda: len(failed) >= (5 if float(sys.argv[2]) > 1 else 1e9), "no failure")
beats.unlink()
away.rename(beats)
wait_until(exchange.beats, "no sign of life")
print("alive")
"""


@pytest.mark.parametrize(("stale_s", "status", "said"), [(3600, 0, "alive"), (0.5, 1, "")])
def test_a_file_system_that_fails_for_a_moment_costs_no_worker_its_life(
    stale_s: float, status: int, said: str, tmp_path: Path, root: Path
) -> None:
    variables = {**os.environ, "PYTHONPATH": str(root), "SLURM_JOB_ID": "7"}
    done = subprocess.run(
        [sys.executable, "-c", _LIFE, tmp_path, str(stale_s)],
        env=variables, stdout=subprocess.PIPE, text=True, check=False, timeout=HANG_S,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (status, said)
    assert [path.name for path in tmp_path.glob("run-*/*")] == [] or status == 0
