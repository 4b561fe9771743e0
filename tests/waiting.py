"""Waiting for events, as tests do that start, kill and count processes.

A test waits for what happens and never for a clock: on a machine under load everything takes many
times as long. `HANG_S` only ends what would never end.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

HANG_S = 440.0
"""Seconds after which something hangs; pytest ends a test later still, and says where it was."""

FOR_EVER_S = 10 * HANG_S
"""What sleeps until it is killed sleeps as long."""


def wait_until(true: Callable[[], object], why: str | Callable[[], str]) -> None:
    """Wait until a function returns something true.

    Args:
        true: asked again and again.
        why: what hangs otherwise, or a function that says it, such as from a log.
    """
    deadline = time.monotonic() + HANG_S
    while not true():
        assert time.monotonic() < deadline, why if isinstance(why, str) else why()
        time.sleep(0.02)


@contextmanager
def running(command: list[Any], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a program in a block, which it does not outlive.

    `subprocess.Popen` alone would wait for it, however the block ends.
    """
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def running_too(processes: Iterable[BaseProcess]) -> Iterator[None]:
    """Run processes of `multiprocessing` in a block, which none of them outlives."""
    started = []
    try:
        for process in processes:
            process.start()
            started.append(process)
        yield
    finally:
        for process in started:
            process.kill()
            process.join()


def in_two_processes(method: str, act: Callable[[Any], Any], argument: Any) -> list[Any]:
    """Return what a function returns in each of two processes.

    A `multiprocessing.Pool` waits for ever for a process that was killed, and even when it is told
    to end.

    Args:
        method: by which they are started.
        act: the function.
        argument: of it.
    """
    context = multiprocessing.get_context(method)
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    processes = [context.Process(target=_tell, args=(there, act, argument)) for _, there in pipes]
    found = []
    with running_too(processes):
        for process, (here, _) in zip(processes, pipes, strict=True):
            if process.sentinel in wait([here, process.sentinel], HANG_S):
                process.join()
            assert here.poll(), f"{process} says nothing"
            found.append(here.recv())
    return found


def _tell(there: Connection[Any, Any], act: Callable[[Any], Any], argument: Any) -> None:
    there.send(act(argument))


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids: Iterable[int]) -> None:
    """Wait until processes have ended."""
    waited_for = list(pids)
    wait_until(
        lambda: not any(map(is_alive, waited_for)),
        lambda: f"{[pid for pid in waited_for if is_alive(pid)]} outlive the run",
    )


def descendants(parent: int) -> list[int]:
    """The processes that a process started, and those that they started, oldest first."""
    try:
        found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return []
    return [pid for child in map(int, found) for pid in (child, *descendants(child))]
