"""Clusters of Ray: started and ended, too small, not there, left by a run that is killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.runners.conftest import MakeRunner
from tests.runners.workers import Squares, Whereabouts, noted
from tests.waiting import HANG_S, descendants, running, wait_until, wait_until_gone

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from ray.exceptions import OutOfMemoryError, RayError

from featbank.errors import ConfigError
from featbank.runners import ray_crew
from featbank.runners.coordinating import coordinate
from featbank.runners.ray import RayRunner
from featbank.runners.ray_crew import NodeShare, RayCrew

_RUN = """
import signal, sys
from pathlib import Path
from featbank.runners.ray import RayRunner
from tests.runners.workers import Sleeper, Squares
if __name__ == "__main__":
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    runner = RayRunner(num_workers=2, num_cpus=0.5)
    if sys.argv[1:]:
        list(runner.run(Sleeper(Path(sys.argv[1])), range(1, 5), print))
    else:
        print(sum(runner.run(Squares, range(10), lambda seconds: None)))
        print(signal.getsignal(signal.SIGTERM) is signal.default_int_handler)
"""


def _ignore(_: float) -> None:
    pass


def _started(
    tmp_path: Path, root: Path, *arguments: Path
) -> AbstractContextManager[subprocess.Popen[str]]:
    script = tmp_path / "run.py"
    script.write_text(_RUN)
    variables = {**os.environ, "PYTHONPATH": str(root)}
    return running(
        [sys.executable, script, *arguments], env=variables, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_starts_a_cluster_of_its_own_says_nothing_of_it_and_keeps_the_signals(
    tmp_path: Path, root: Path
) -> None:
    with _started(tmp_path, root) as run:
        said, _ = run.communicate(timeout=HANG_S)
    assert said.splitlines() == ["285", "True"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_workers_end_with_a_run_that_is_killed_or_stopped(
    tmp_path: Path, root: Path, number: signal.Signals
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    with _started(tmp_path, root, begun) as run:
        wait_until(lambda: len(noted(begun)) == 2 or run.poll() is not None, "no task is begun")
        assert run.poll() is None
        workers = noted(begun)
        assert set(workers) <= set(descendants(run.pid))
        run.send_signal(number)
        run.communicate(timeout=HANG_S)
    wait_until_gone(workers)


def test_more_workers_than_the_cluster_has_room_for_are_refused(ray: MakeRunner) -> None:
    processors = len(os.sched_getaffinity(0))
    with pytest.raises(
        ConfigError,
        match=f"num_workers: expected at most {4 * processors}, which .*each takes 0.25 processors",
    ):
        list(ray(4 * processors + 1).run(Whereabouts, ["HOME"], _ignore))
    with pytest.raises(ConfigError, match="which the Ray cluster has room for"):
        ray(4 * processors + 1).count_workers()


@pytest.mark.usefixtures("ray_cluster")
def test_without_a_number_there_are_as_many_workers_as_there_is_room_for() -> None:
    runner = RayRunner(num_cpus=0.5)
    pids = {pid for pid, _, _ in runner.run(Whereabouts, ["HOME"] * 30, _ignore)}
    assert runner.count_workers() == 2 * len(os.sched_getaffinity(0))
    assert 1 <= len(pids) <= runner.count_workers()


@pytest.mark.usefixtures("ray_cluster")
def test_a_gpu_that_no_node_has_is_no_reason_to_wait_for_ever() -> None:
    with pytest.raises(ConfigError, match=r"expected at most 0, .*1 processors and 1 GPUs"):
        list(RayRunner(num_gpus=1).run(Whereabouts, ["HOME"], _ignore))


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_goes_on_and_says_so_once_where_progress_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import ray

    monkeypatch.setattr(ray_crew, "_PROGRESS_S", 0.0)  # asked for at each look
    crew = RayCrew(pickle.dumps(Squares), 1, NodeShare(num_cpus=0.25, num_gpus=0))
    ray.kill(crew._progress)  # as with the node that it is on
    told: list[float] = []
    results = coordinate(crew, range(10), max_retries=0, advance=told.append, hint="")
    assert sorted(results) == [number * number for number in range(10)]
    assert sum(told) == 10
    assert caplog.text.count("no more progress is shown") == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OutOfMemoryError("2 workers were killed: 23.1 of 23.5 GB used.\nRefer to docs."), "23.1"),
        (RayError("The actor died.\n\tpid: 7\nKilled by SIGKILL."), "Killed by SIGKILL."),
    ],
)
def test_the_death_of_a_worker_is_told_in_the_line_that_says_why(
    error: RayError, told: str
) -> None:
    assert told in ray_crew._summary(error)


@pytest.mark.slow
def test_a_run_in_another_process_joins_a_cluster_and_leaves_it_as_it_was(
    ray_cluster: str, root: Path
) -> None:
    assert ray_cluster.startswith("127.")  # nobody else sees it
    code = (
        "from featbank.runners.ray import RayRunner\n"
        "from tests.runners.workers import Squares\n"
        f"runner = RayRunner(address='{ray_cluster}', num_workers=2, num_cpus=0.25)\n"
        "print(sum(runner.run(Squares, range(10), lambda seconds: None)))"
    )
    assert _python(code, root) == "285\n"
    assert _python(code, root) == "285\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "RayRunner(address='127.0.0.1:9').run(int, [1], print).send(None)",
            "runner.address 127.0.0.1:9: expected a Ray cluster, got [Errno 111] ",
        ),
        ("sys.modules['ray'] = None\nRayRunner()", 'pip install "featbank[ray]"'),
    ],
)
def test_no_cluster_and_no_ray_are_errors_that_say_so(root: Path, code: str, expected: str) -> None:
    said = _python(f"import sys\nfrom featbank.runners.ray import RayRunner\n{code}", root)
    assert expected in said


def _python(code: str, root: Path) -> str:
    """Return what a program says, on both of its streams."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(root)}, check=False,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ).stdout  # fmt: skip
