"""Standard output is for what was asked for; one that is closed, full or unread is no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import featbank.pipeline.choices  # noqa: F401 - the params resolver
from featbank.files.streams import guarded
from featbank.pipeline.configs import CONFIGS
from tests.conftest import ROOT
from tests.store.trust import make_rows, run, write

STAGES = sorted(CONFIGS)
FULL = "OSError: [Errno 28] No space left on device while writing: 'standard output'\n"

# Standard output and error are closed: the next file must not get what a library prints there.
PRINTS_BELOW_PYTHON = """
import os, sys
os.close(1), os.close(2)
os.execv(sys.executable, [sys.executable, "-c", '''
import os, sys
from featbank.files.streams import guarded
from featbank.pipeline.configs import CONFIGS
with guarded(), open(sys.argv[1], "wb", buffering=0) as file:
    os.write(1, b"a library's words")
    os.write(2, b"a library's words")
    print("and ours", file=sys.stderr)
    print("and ours")
    os.system("echo and those of a child")
    file.write(b"values")
''', sys.argv[1]])
"""


def shell(command: str, *, cwd: Path = ROOT) -> tuple[int, str, str]:
    """Return the status of a command of bash and what it printed; nobody reads what goes to &9."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        ["bash", "-c", command.replace("&9", f"&{writer}")],
        cwd=cwd,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        pass_fds=[writer],
        check=False,
    )
    os.close(writer)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("ls s --limit 0 --json > /dev/full", 1, FULL),  # more than a buffer takes
        ("--help > /dev/full", 1, FULL),
        ("ls s --limit 0 --json >&9", 1, ""),
        ("verify s >&- 2>&-", 0, ""),
        ("info nothing 2> /dev/full", 1, ""),
    ],
)
def test_a_command_whose_output_goes_nowhere_ends_without_traceback(
    tmp_path: Path, command: str, status: int, said: str
) -> None:
    write(tmp_path / "s", make_rows(3000, dimension=1))
    assert shell(f"python -m featbank {command}", cwd=tmp_path) == (status, "", said)


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("python stages/extract.py --cfg job > /dev/full", 1, FULL),
        ("python -u stages/extract.py --cfg job >&9", 1, ""),  # Hydra itself meets it
        ("python stages/extract.py batch_s=x 2> /dev/full", 1, ""),
        (
            "python stages/extract.py batch_s=x > /dev/full",
            1,
            "ConfigError: batch_s: expected a number from 0 to 86400 (s) or null, got 'x'\n",
        ),
    ],
)
def test_a_stage_whose_output_goes_nowhere_ends_without_traceback(
    command: str, status: int, said: str
) -> None:
    assert shell(command) == (status, "", said)


def test_a_stage_tells_on_standard_error_and_needs_neither_stream(tmp_path: Path) -> None:
    made = []
    for streams in ("", ">&- 2>&-"):
        out = tmp_path / str(len(made))
        command = f"python stages/prepare.py paths.manifests={out} {streams}"
        status, printed, told = shell(command)
        assert (status, printed) == (0, "")
        assert ("demo train: 24 utterances" in told) == (not streams)
        made.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert made[0] == made[1]


def test_the_next_file_does_not_get_what_is_printed_to_a_closed_stream(tmp_path: Path) -> None:
    run(PRINTS_BELOW_PYTHON, tmp_path / "shard")
    assert (tmp_path / "shard").read_bytes() == b"values"


def test_whoever_calls_a_program_gets_standard_output_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    with guarded():
        assert sys.stdout is not sys.__stdout__
    assert sys.stdout is sys.__stdout__


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_logs_to_standard_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose(name, return_hydra_config=True)
    for logging in (config.hydra.job_logging, config.hydra.hydra_logging):
        assert logging.root.handlers == ["console"]
        assert logging.handlers.console.stream == "ext://sys.stderr"
    assert (ROOT / "stages" / f"{name}.py").read_text().endswith("    run_script(main)\n")
