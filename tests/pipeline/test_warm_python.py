"""What stands in for `python` and `dvc` in most tests says what they say, and ends as they end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.pipeline.conftest import Project
from tests.waiting import HANG_S, wait_until_gone
from tests.warm_python import warm_programs


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("python -m featbank ls nowhere", 1),
        ("python stages/prepare.py corups=demo", 1),
        ("python stages/prepare.py --cfg job", 0),
        ("dvc repro nothing", 255),
    ],
)
def test_a_command_ends_and_speaks_as_it_does_when_the_interpreter_starts_it(
    prepared: Project, command: str, status: int
) -> None:
    warm = prepared.run(command, status=status)
    assert warm == prepared.run(command, status=status, PLAIN_PYTHON="1")
    assert warm


def test_what_else_is_typed_goes_to_the_interpreter(prepared: Project) -> None:
    code = "import sys; print(sys.flags.isolated, 'torch' in sys.modules)"
    assert prepared.run(f'python -c "{code}"') == "0 False\n"
    assert prepared.run("python -c 'import sys; print(sys.executable)'") == f"{sys.executable}\n"


def test_a_command_that_nobody_waits_for_any_more_is_ended(checkout: Project) -> None:
    script = checkout.path / "stages" / "waiting.py"
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(4000)\n")
    command = [warm_programs() / "python", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout
        pid = int(asking.stdout.readline())
        asking.kill()
        assert asking.wait(HANG_S) < 0
    wait_until_gone([pid])
