"""Workers for the tests of the runners, as modules that worker processes import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featbank.base.notices import tell
from featbank.base.progress import Advance
from featbank.errors import ConfigError
from featbank.runners import performing
from tests.waiting import FOR_EVER_S, wait_until


def noted(folder: Path) -> list[int]:
    """The processes of workers that left their number in a folder."""
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


class Squares:
    """Squares numbers, each of which stands for a second of audio told in two halves.

    The first half is taken over from before; one utterance in it fails.
    """

    def __init__(self) -> None:
        tell(phase="loading weights")

    def __call__(self, task: int, advance: Advance) -> int:
        tell(reused=0.5, failures=1)
        advance(0.5)
        advance(0.5)
        return task * task


class Whereabouts:
    """Tells in which process it runs, which worker of that process it is, and a variable there."""

    made = 0

    def __init__(self) -> None:
        Whereabouts.made += 1
        self._number = Whereabouts.made

    def __call__(self, task: str, _advance: Advance) -> tuple[int, int, str | None]:
        time.sleep(0.05)  # so that every worker gets some
        return os.getpid(), self._number, os.environ.get(task)


class AwkwardError(Exception):
    """Cannot be unpickled: it does not hand its arguments to its base."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Refuses:
    """Raises an error of the kind that the task names."""

    def __call__(self, task: str, _advance: Advance) -> Any:
        if task == "config":
            raise ConfigError("a value", expected="one", got="two", hint="change it")
        if task == "awkward":
            raise AwkwardError("this", "that")
        if task == "value":
            raise ValueError("no such thing")
        return lambda: task  # which cannot be pickled


@dataclass(frozen=True)
class InThisProcess:
    """A runner of another package, which has of the contract everything and nothing besides.

    Args:
        says: how many workers there are.
    """

    says: int
    gives_gpu = True

    def count_workers(self) -> int:
        return self.says

    def run(
        self, make_worker: Callable[[], Any], tasks: Iterable[Any], advance: Advance
    ) -> Generator[Any, None, None]:
        worker = make_worker()
        for task in tasks:
            yield worker(task, advance)


class Uncounted:
    """Has what `InThisProcess` has, but for the number of its workers."""

    num_workers = 1
    gives_gpu = True
    run = InThisProcess.run


def refuse_to_be_made() -> Callable[[Any, Advance], Any]:
    """Make no worker."""
    raise ConfigError("a worker", expected="to be made", got="nothing")


@dataclass(frozen=True)
class Deadly:
    """Makes workers that kill their process in the midst of tasks.

    Args:
        folder: where each beginning of a task leaves a file named by its task and process.
        deadly: the tasks.
        deaths: how many workers each kills.
    """

    folder: Path
    deadly: tuple[int, ...]
    deaths: int

    def __call__(self) -> Callable[[int, Advance], int]:
        return self._work

    def _work(self, task: int, advance: Advance) -> int:
        before = len(list(self.folder.glob(f"{task}.*")))
        (self.folder / f"{task}.{os.getpid()}").touch()
        tell(failures=1)
        advance(0.75)
        if task in self.deadly and before < self.deaths:
            time.sleep(0.5)
            advance(0.0)  # so that what was done is told before
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        advance(0.25)
        return task


@dataclass(frozen=True)
class Sleeper:
    """Makes workers that leave their process id in a folder and sleep, but for task 0.

    Args:
        folder: of the process ids.
        fails: whether task 0 raises once another task has begun; it returns at once otherwise.
    """

    folder: Path
    fails: bool = False

    def __call__(self) -> Callable[[int, Advance], int]:
        return self._work

    def _work(self, task: int, _advance: Advance) -> int:
        (self.folder / str(os.getpid())).touch()
        if task:
            (self.folder / "sleeping").touch()
            time.sleep(FOR_EVER_S)
        wait_until((self.folder / "sleeping").exists, "no task sleeps")
        if self.fails:
            raise ValueError("task 0 cannot be done")
        return task


@dataclass(frozen=True)
class SlowAtFirst:
    """Makes workers that sleep over a task for as long as it was not begun before.

    Args:
        folder: where each beginning leaves a file: task, number of the job, process.
        begun: how often a task is begun before it is done.
        then_s: what it takes then.
    """

    folder: Path
    begun: int = 1
    then_s: float = 0.0

    def __call__(self) -> Callable[[int, Advance], int]:
        return self._work

    def _work(self, task: int, advance: Advance) -> int:
        before = len(list(self.folder.glob(f"{task}.*")))
        (self.folder / f"{task}.{os.environ.get('SLURM_JOB_ID', 0)}.{os.getpid()}").touch()
        if before < self.begun:
            advance(0.5)
            time.sleep(FOR_EVER_S)
        time.sleep(self.then_s)
        advance(1.0)
        return task


@dataclass(frozen=True)
class Talkative:
    """Makes workers that tell of every step at once, and leave a file when they are done.

    Args:
        folder: of the files, named by the tasks.
    """

    folder: Path

    def __call__(self) -> Callable[[int, Advance], int]:
        return self._work

    def _work(self, task: int, advance: Advance) -> int:
        performing._TELL_S = 0.0
        for _ in range(2000):
            advance(0.001)
        (self.folder / str(task)).touch()
        return task


@dataclass(frozen=True)
class Bulky:
    """Makes workers whose result of task 1 fills every pipe when it is made for the first time.

    Args:
        folder: where each beginning of task 1 leaves a file named by its process.
    """

    folder: Path

    def __call__(self) -> Callable[[int, Advance], bytes]:
        return self._work

    def _work(self, task: int, _advance: Advance) -> bytes:
        is_first = not any(self.folder.iterdir())
        if task:
            (self.folder / str(os.getpid())).touch()
        return bytes(1 << 24) if task and is_first else b""
