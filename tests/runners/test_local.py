"""Processes of this machine: their number, their GPUs, and their end with the run's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from featbank.base.notices import AT_WORK, Notice, listening
from featbank.errors import ConfigError
from featbank.runners.local import LocalRunner
from tests.runners.workers import Bulky, Squares, Talkative, Whereabouts, noted
from tests.waiting import HANG_S, wait_until, wait_until_gone


def _ignore(_: float) -> None:
    pass


def _devices(runner: LocalRunner) -> set[str | None]:
    tasks = ["CUDA_VISIBLE_DEVICES"] * 12
    return {device for _, _, device in runner.run(Whereabouts, tasks, _ignore)}


def test_there_is_a_worker_a_processor_or_a_gpu_unless_their_number_is_given() -> None:
    assert LocalRunner().count_workers() == len(os.sched_getaffinity(0))
    assert LocalRunner(num_gpus=5).count_workers() == 5
    assert LocalRunner(num_gpus=2, num_workers=4).count_workers() == 4


def test_each_worker_sees_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert _devices(LocalRunner(num_gpus=2)) == {"0", "1"}
    assert _devices(LocalRunner(num_gpus=1, num_workers=2)) == {"0"}


def test_the_gpus_are_those_that_the_run_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8a")
    assert _devices(LocalRunner(num_gpus=2)) == {"3", "GPU-8a"}
    with pytest.raises(ConfigError, match="num_gpus: expected at most the 2 of CUDA_VISIBLE_DEVIC"):
        LocalRunner(num_gpus=3)


@pytest.mark.parametrize("name", ["num_workers", "num_gpus"])
def test_less_than_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"runner.{name}: expected 1 or more, got 0"):
        LocalRunner(**{name: 0})


def _wait_for_one(folder: Path) -> Path:
    wait_until(lambda: any(folder.iterdir()), f"nothing comes to {folder}")
    return max(folder.iterdir())


def test_a_worker_that_is_killed_while_it_hands_its_result_over_costs_a_second_try(
    tmp_path: Path,
) -> None:
    results = LocalRunner(num_workers=1).run(Bulky(tmp_path), range(2), _ignore)
    assert next(results) == b""  # from here on nobody listens
    begun = _wait_for_one(tmp_path)
    time.sleep(0.5)  # for the first part of the result to fill the pipe
    os.kill(int(begun.name), signal.SIGKILL)
    assert list(results) == [b""]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_worker_goes_on_with_its_task_while_nobody_listens(tmp_path: Path) -> None:
    told: list[float] = []
    results = LocalRunner(num_workers=1).run(Talkative(tmp_path), range(2), told.append)
    assert next(results) == 0
    (tmp_path / "0").unlink()
    assert _wait_for_one(tmp_path).name == "1"
    assert list(results) == [1]
    assert sum(told) == pytest.approx(4)


_RUN = """
import sys
from pathlib import Path
from featbank.runners.local import LocalRunner
from tests.runners.workers import Sleeper
if __name__ == "__main__":
    list(LocalRunner(num_workers=2).run(Sleeper(Path(sys.argv[1])), range(1, 5), print))
"""


@pytest.mark.parametrize(
    ("number", "whole_group"), [(signal.SIGKILL, False), (signal.SIGINT, True)]
)
def test_the_workers_end_with_a_run_that_is_killed_or_interrupted(
    number: signal.Signals, whole_group: bool, tmp_path: Path, root: Path
) -> None:
    script = tmp_path / "run.py"
    script.write_text(_RUN)
    pids = tmp_path / "pids"
    pids.mkdir()
    log = tmp_path / "log"
    with open(log, "wb") as output:
        run = subprocess.Popen(
            [sys.executable, script, pids], env={**os.environ, "PYTHONPATH": str(root)},
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    wait_until(lambda: len(noted(pids)) == 2, log.read_text)
    if whole_group:
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)
    run.wait(HANG_S)
    wait_until_gone(noted(pids))
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in log.read_text()


def test_what_a_worker_waits_for_reaches_the_run_before_the_worker_is_at_work() -> None:
    heard: list[Notice] = []
    with listening(heard.append):
        assert list(LocalRunner(num_workers=1).run(Squares, range(2), _ignore)) == [0, 1]
    phases = [notice.phase for notice in heard if notice.phase is not None]
    assert phases == ["starting a worker", "loading weights", AT_WORK]
