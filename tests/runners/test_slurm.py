"""What happens to the jobs of a real Slurm: requeued, killed, stopped, refused, orphaned."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from featbank.errors import ConfigError, FeatbankError
from featbank.runners.slurm import SlurmRunner
from tests.runners.slurm_cluster import slurm_cluster
from tests.runners.workers import SlowAtFirst, Squares
from tests.waiting import wait_until, wait_until_gone

MakeSlurm = Callable[..., SlurmRunner]


def _ignore(_: float) -> None:
    pass


def _first_begun(folder: Path) -> tuple[str, int]:
    """Wait until a task is begun, and return the number of its job and its process."""
    wait_until(lambda: any(folder.iterdir()), "no task is begun")
    _, job, pid = min(folder.iterdir()).name.split(".")
    return job, int(pid)


def _meanwhile(act: Callable[[str, int], Any], folder: Path) -> threading.Thread:
    thread = threading.Thread(target=lambda: act(*_first_begun(folder)))
    thread.start()
    return thread


def _call(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [("scontrol", "requeue"), ("scancel", "--signal=USR2")],  # by hand; at a time limit
)
def test_a_requeued_job_gives_its_task_back_and_begins_anew(
    make_slurm: MakeSlurm,
    tmp_path: Path,
    command: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[float] = []
    runner = make_slurm(num_workers=1, max_retries=0)  # nobody died
    thread = _meanwhile(lambda job, _: _call(*command, job), tmp_path)
    worker = SlowAtFirst(tmp_path, then_s=2)  # some signs of life
    assert sorted(runner.run(worker, range(1), told.append)) == [0]
    thread.join()
    jobs = [path.name.split(".")[1] for path in tmp_path.iterdir()]
    assert len(jobs) == 2
    assert len(set(jobs)) == 1  # the same job
    assert "was requeued (1 so far) and begins its task anew" in caplog.text
    assert sum(told) == pytest.approx(1.0)


@pytest.mark.slow
def test_a_killed_step_of_a_job_costs_its_task_a_second_try_in_another_job(
    make_slurm: MakeSlurm, tmp_path: Path
) -> None:
    thread = _meanwhile(lambda _, pid: os.kill(pid, signal.SIGKILL), tmp_path)
    assert list(make_slurm(num_workers=1).run(SlowAtFirst(tmp_path), range(1), _ignore)) == [0]
    thread.join()
    jobs = [path.name.split(".")[1] for path in tmp_path.iterdir()]
    assert len(set(jobs)) == 2


@pytest.mark.slow
def test_a_worker_without_a_sign_of_life_loses_its_task_and_its_job(
    make_slurm: MakeSlurm, tmp_path: Path
) -> None:
    stopped: list[int] = []

    def stop(_: str, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)

    thread = _meanwhile(stop, tmp_path)
    runner = make_slurm(num_workers=1, stale_s=10)
    assert list(runner.run(SlowAtFirst(tmp_path), range(1), _ignore)) == [0]
    thread.join()
    wait_until_gone(stopped)


def test_a_job_that_slurm_refuses_is_an_error_with_its_reason(make_slurm: MakeSlurm) -> None:
    runner = make_slurm(num_workers=1, partition="nowhere")
    with pytest.raises(
        FeatbankError, match=r"expected sbatch to take them, got .*invalid partition"
    ):
        list(runner.run(Squares, range(1), _ignore))


@pytest.mark.slow
def test_a_run_goes_on_while_slurm_takes_no_more_jobs(
    make_slurm: MakeSlurm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def act() -> None:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2, "two tasks are never begun")
        first, second = (int(path.name.split(".")[2]) for path in sorted(tmp_path.iterdir()))
        _call("scontrol", "update", "partitionname=all", "state=DRAIN")
        try:
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: "goes on with" in caplog.text, "no job is missed")
        finally:
            _call("scontrol", "update", "partitionname=all", "state=UP")
        os.kill(second, signal.SIGKILL)

    thread = threading.Thread(target=act)
    thread.start()
    runner = make_slurm(num_workers=2)
    assert sorted(runner.run(SlowAtFirst(tmp_path), range(2), _ignore)) == [0, 1]
    thread.join()
    assert "the run goes on with 1 jobs: jobs for Slurm: expected sbatch to take" in caplog.text


def test_jobs_that_may_not_run_at_a_time_are_not_counted_as_workers(make_slurm: MakeSlurm) -> None:
    assert make_slurm(num_workers=8, array_parallelism=3).count_workers() == 3
    assert make_slurm(num_workers=2, array_parallelism=3).count_workers() == 2


def test_less_patience_than_a_few_signs_of_life_is_refused(make_slurm: MakeSlurm) -> None:
    with pytest.raises(ConfigError, match=r"stale_s: expected 1\.5 or more, got 1"):
        make_slurm(num_workers=1, stale_s=1)


@pytest.mark.slow
def test_jobs_that_end_before_they_work_end_the_run_with_their_last_words(
    make_slurm: MakeSlurm,
) -> None:
    runner = make_slurm(num_workers=1, max_retries=1, setup=["echo no such module >&2", "exit 1"])
    with pytest.raises(
        FeatbankError, match=r"3 jobs of Slurm ended before .* got no such module; see"
    ) as caught:
        list(runner.run(Squares, range(1), _ignore))
    logs = Path(caught.value.hint.removeprefix("see ").partition(",")[0])
    assert list(logs.glob("*.err"))


def test_a_run_whose_folder_was_removed_ends_and_says_so(
    make_slurm: MakeSlurm, tmp_path: Path
) -> None:
    folder, gone = (tmp_path.with_name(f"{tmp_path.name}-{name}") for name in ("slurm", "gone"))
    thread = _meanwhile(lambda *_: folder.rename(gone), tmp_path)
    with pytest.raises(FeatbankError, match="until the run is over, got it is gone"):
        list(make_slurm(num_workers=1).run(SlowAtFirst(tmp_path), range(1), _ignore))
    thread.join()


_RUN = """
import sys
from pathlib import Path
from featbank.runners.slurm import SlurmRunner
from tests.runners.slurm_cluster import slurm_cluster
from tests.runners.workers import SlowAtFirst
runner = SlurmRunner(num_workers=2, folder=sys.argv[2], heartbeat_s=0.5, stale_s=10)
list(runner.run(SlowAtFirst(Path(sys.argv[1])), range(5), print))
"""


@pytest.mark.slow
def test_the_jobs_of_a_run_that_is_killed_end_by_themselves_and_clear_up(
    slurm_environment: dict[str, str], tmp_path: Path, root: Path
) -> None:
    script, begun, shared = (tmp_path / name for name in ("run.py", "begun", "shared"))
    script.write_text(_RUN)
    begun.mkdir()
    variables = {**os.environ, **slurm_environment, "PYTHONPATH": str(root)}
    run = subprocess.Popen([sys.executable, script, begun, shared], env=variables)
    job, _ = _first_begun(begun)
    run.kill()
    run.wait()
    command = ["squeue", "--noheader", "--array", "--name=featbank"]
    wait_until(
        lambda: not subprocess.run(command, env=variables, check=True, capture_output=True).stdout,
        f"job {job} outlives the run",
    )
    assert list(shared.iterdir()) == []


def _of_the_cluster(variables: Mapping[str, str]) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if variables["SLURM_CONF"].encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


@pytest.mark.usefixtures("slurm_environment")
def test_nothing_of_the_cluster_that_the_tests_start_outlives_them() -> None:
    with slurm_cluster() as variables:
        submit = ["sbatch", "--wrap=srun sleep 600", "--output=/dev/null"]
        subprocess.run(submit, env={**os.environ, **variables}, check=True, capture_output=True)
        wait_until(
            lambda: len(_of_the_cluster(variables)) >= 5,  # the daemons, and the steps of the job
            "the job is never begun",
        )
    wait_until_gone(_of_the_cluster(variables))


@pytest.mark.usefixtures("slurm_environment")
def test_without_slurm_or_submitit_the_error_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.modules['submitit'] = None\n"
        "from featbank.runners.slurm import SlurmRunner\n"
        "SlurmRunner(num_workers=1)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "expected submitit" in said.stderr
    assert 'pip install "featbank[slurm]"' in said.stderr
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="as on a login node, got no sbatch, srun, squeue, scan"):
        SlurmRunner(num_workers=1)
