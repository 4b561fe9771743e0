"""The rules that tests wait for events, and that what hangs ends as a test that failed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import HANG_S, in_two_processes, wait_until


def test_what_hangs_is_named_before_pytest_ends_its_test_and_that_before_its_process(
    root: Path,
) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert settings["faulthandler_timeout"] > settings["timeout"] > 2 * HANG_S
    # so that in 75 minutes, after which CI ends all of it, four tests may hang one after the other
    assert 4 * settings["faulthandler_timeout"] < 4500
    assert "timeout --signal=ABRT --kill-after=60 4500 make" in (root / ".ci/run").read_text()


def test_no_test_has_a_deadline_of_its_own(root: Path) -> None:
    own = re.compile(r"timeout(?:_s)?=\d|monotonic\(\) \+ \d|\.(?:wait|join)\(\d")
    found = {
        f"{path.relative_to(root)}: {line.strip()}"
        for path in (root / "tests").rglob("*.py")
        if path.name != Path(__file__).name
        for line in path.read_text(encoding="utf-8").splitlines()
        if own.search(line)
    }
    # a daemon of Slurm that does not end in a minute is killed
    assert found == {"tests/runners/slurm_cluster.py: process.wait(60)"}


def be_killed(number: int) -> None:
    os.kill(os.getpid(), number)


def test_a_process_that_is_killed_before_it_tells_anything_is_not_waited_for() -> None:
    with pytest.raises(AssertionError, match="SIGKILL"):
        in_two_processes("fork", be_killed, signal.SIGKILL)


# a loop in C that looks for no signal and lets no other thread of Python run
HANGING = """
import os, time
from collections import deque
from itertools import repeat
from pathlib import Path

from hypothesis import given
from hypothesis.strategies import integers

def hang():
    Path(__file__).with_name(str(os.getpid())).touch()
    deque(repeat(0), maxlen=0)
"""
IN_C = """
def test_hangs(): hang()
"""
IN_A_FORK_TOO = """
def test_forks():
    if not os.fork():
        time.sleep(10_000)
    hang()
"""
AND_WELL = """
def test_is_well(): pass
"""
OF_HYPOTHESIS = """
@given(integers())
def test_is_tried_again(number):
    while True: time.sleep(0.01)
"""


@contextmanager
def suite(root: Path, folder: Path, tests: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run tests as `make tests` does, with its settings; all that they started ends here."""
    (folder / "test_of_it.py").write_text(HANGING + tests)
    command = [sys.executable, "-m", "pytest", "-c", str(root / "pyproject.toml")]
    command += ["-p", "tests.conftest", "-p", "no:cacheprovider", f"--basetemp={folder}/temporary"]
    command += ["--numprocesses", "2", "--dist", "worksteal", *arguments, str(folder)]
    with open(folder / "output", "w") as output:
        process = subprocess.Popen(
            command, cwd=root, text=True, start_new_session=True, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_what_hangs_in_c_or_in_hypothesis_fails_by_name_with_its_stack_and_the_others_go_on(
    root: Path, tmp_path: Path
) -> None:
    tests = IN_C + IN_A_FORK_TOO + OF_HYPOTHESIS + AND_WELL
    limits = ["--override-ini=timeout=2", "--override-ini=faulthandler_timeout=5"]
    # one process at a time, or two that hang from the same moment on would mix their stacks
    with suite(root, tmp_path, tests, *limits, "--numprocesses", "1") as run:
        wait_until(lambda: run.poll() is not None, (tmp_path / "output").read_text)
    said = (tmp_path / "output").read_text()
    for name in ("hangs", "forks", "is_tried_again"):
        assert re.search(rf"crashed while running '.*test_of_it.py::test_{name}'", said), said
        assert re.search(rf'File ".*test_of_it.py", line \d+ in test_{name}$', said, re.M), said
    assert "3 failed, 1 passed" in said


@pytest.mark.slow
def test_a_suite_that_is_ended_shows_the_test_of_each_process(root: Path, tmp_path: Path) -> None:
    def hanging() -> list[Path]:
        return [path for path in tmp_path.iterdir() if path.name.isdigit()]

    with suite(root, tmp_path, IN_C + IN_C.replace("hangs", "is_stuck")) as run:
        output = tmp_path / "output"
        wait_until(lambda: len(hanging()) == 2, output.read_text)
        os.killpg(run.pid, signal.SIGABRT)  # as `timeout` of .ci/run does
        # they write at the same time, each a name at once
        for name in ("test_hangs", "test_is_stuck"):
            wait_until(lambda shown=name: shown in output.read_text(), output.read_text)
