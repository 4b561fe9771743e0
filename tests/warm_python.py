"""Commands of a project from processes that have imported what takes seconds.

Nine of ten seconds of a stage over the demo corpus go into starting Python: most of them import
torch. Here programs named `python` and `dvc` stand first in PATH; each hands its command line,
environment, folder and open files to a server, which forks: the child runs the same script as the
interpreter would, from the sources of the project it stands in, for the server has imported nothing
of featbank. Everything else that is typed goes to the real programs, and so does everything where
`PLAIN_PYTHON` is set.

The stores that most tests borrow are made by the real programs (`_reproduced` in
pipeline/conftest.py), and tests hold the bytes of these against those.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import multiprocessing.process
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

IMPORTED = {
    "python": [
        "h5py",
        "hydra",
        "hydra._internal.hydra",
        "pydantic.types",
        "rich.console",
        "ruamel.yaml",
        "scmrepo.git",
        "soundfile",
        "torch",
    ],
    "dvc": ["dvc.cli.parser", "dvc.repo.reproduce", "dvc.repo.status", "dvc_data.index"],
}
"""What the server of each program imports: of other packages than ours, and nothing that runs."""

# what is read once, as the interpreter or a library starts: with other values, the real program
AT_START = ("PYTHON", "OMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "KMP_", "LD_", "CUDA_", "TORCH")

_SERVERS: list[subprocess.Popen[bytes]] = []

_PROGRAM = """#!{python} -IS
import json, os, signal, socket, sys
name = os.path.basename(sys.argv[0])
typed = sys.argv[1:]
real = os.path.join({real!r}, name)
at_start = {{k: v for k, v in os.environ.items() if k.startswith({at_start!r})}}
at_start.pop("PYTHONPATH", None)
is_stage = typed[:1] and os.path.basename(os.path.dirname(typed[0])) == "stages"
warm = name == "dvc" or is_stage or typed[:2] == ["-m", "featbank"]
if not warm or "PLAIN_PYTHON" in os.environ or at_start != {started!r}:
    os.execv(real, [real, *typed])
line = socket.socket(socket.AF_UNIX)
line.connect(os.path.join({folder!r}, name + ".socket"))
told = json.dumps([typed, os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(line, [len(told).to_bytes(8, "big")], [0, 1, 2])
line.sendall(told)
status = int(line.makefile().read() or 1)
if status < 0:
    if -status not in (signal.SIGKILL, signal.SIGSTOP):  # which nobody may handle
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@functools.cache
def warm_programs() -> Path:
    """Start the servers, once for each process, and give the folder of the programs that ask them.

    They end, and remove it, as this process ends: it holds their input.
    """
    folder = Path(tempfile.mkdtemp(prefix="featbank-"))
    for server in [_start(program, folder) for program in IMPORTED]:
        assert server.stdout
        assert server.stdout.readline() == b"listening\n"
        _SERVERS.append(server)
    # the command, of the project it is typed in
    (folder / "featbank").write_text('#!/bin/sh\nexec python -m featbank "$@"\n')
    (folder / "featbank").chmod(0o755)
    return folder


def _start(program: str, folder: Path) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    started = {name: value for name, value in environment.items() if name.startswith(AT_START)}
    text = _PROGRAM.format(
        python=sys.executable,
        real=str(Path(sys.executable).parent),
        at_start=AT_START,
        started=started,
        folder=str(folder),
    )
    (folder / program).write_text(text)
    (folder / program).chmod(0o755)
    return subprocess.Popen(
        [sys.executable, __file__, program, folder / f"{program}.socket"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def serve(program: str, path: Path) -> list[str]:
    """Answer until the input ends; return in each child, with what it is to run."""
    for module in IMPORTED[program]:
        importlib.import_module(module)
    gc.freeze()  # a child that went through them would copy them
    waiting: list[int] = []  # each for the end of a child of its own
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        os.write(1, b"listening\n")
        while True:
            ready, _, _ = select.select([listening.fileno(), 0], [], [])
            if 0 in ready:
                shutil.rmtree(path.parent, ignore_errors=True)
                os._exit(0)
            line, _ = listening.accept()
            while waiting and os.waitpid(waiting[0], os.WNOHANG)[0]:
                waiting.pop(0)
            if not (child := os.fork()):
                break
            waiting.append(child)
            line.close()
    size, files, _, _ = socket.recv_fds(line, 8, 3)
    with line.makefile("rb") as told:
        typed, folder, environment = json.loads(told.read(int.from_bytes(size, "big")))
    if child := os.fork():
        for file in files:
            os.close(file)
        _tell_its_end(child, line)
    line.close()
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    _move(folder, environment)
    return list(typed)


def _tell_its_end(child: int, line: socket.socket) -> None:
    """Say how a child ended; kill it where nobody waits for that any more."""
    end = os.pidfd_open(child)
    ready, _, _ = select.select([end, line.fileno()], [], [])
    if end not in ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if end in ready:
        line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _move(folder: str, environment: dict[str, str]) -> None:
    """Make this process what it would be, had it been started there."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # their kinds are found when they are made
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115 - to the end
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    multiprocessing.process.ORIGINAL_DIR = folder  # type: ignore[attr-defined]
    tempfile.tempdir = None
    added = [one for one in environment.get("PYTHONPATH", "").split(os.pathsep) if one]
    sys.path[:1] = added  # in place of this script's folder


def run(program: str, typed: list[str]) -> None:
    """Run a command line as the interpreter does."""
    if program == "dvc":
        from dvc.cli import main

        sys.argv = ["dvc", *typed]
        sys.exit(main())
    if typed[0] == "-m":
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = typed[1:]
        runpy.run_module(typed[1], run_name="__main__", alter_sys=True)
    else:
        script = str(Path.cwd() / typed[0])
        sys.path.insert(0, str(Path(script).parent))
        sys.argv = typed
        runpy.run_path(script, run_name="__main__")


def end(act: Callable[[], None]) -> None:
    """End this process as an interpreter does that has run a function, but leave its objects.

    To take torch's apart one by one takes a second.
    """
    status = 0
    try:
        act()
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - it is told, as at the end of any program
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    asked = serve(sys.argv[1], Path(sys.argv[2]))
    end(lambda: run(sys.argv[1], asked))
