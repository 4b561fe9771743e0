"""A runner whose workers note when they were ready, when they had a first result, their memory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fresh import memory_mb
from featbank.base.progress import Advance
from featbank.runners.base import Runner, Worker


@dataclass(slots=True)
class Note:
    """What one worker noted; times are of the clock that all processes share.

    Args:
        ready: when it had loaded its model.
        first_result: when its first task was done.
        peak_mb: of its resident memory, after its last task.
    """

    ready: float
    first_result: float = 0.0
    peak_mb: float = 0.0


class NotingRunner:
    """Runs tasks as another runner does.

    Args:
        runner: that does.
        folder: of the notes, a file for each worker.
    """

    def __init__(self, runner: Runner, folder: Path) -> None:
        self._runner = runner
        self._folder = folder
        folder.mkdir(parents=True)

    @property
    def gives_gpu(self) -> bool:
        """Whether the other runner does."""
        return self._runner.gives_gpu

    def count_workers(self) -> int:
        """Return the number of the other runner's."""
        return self._runner.count_workers()

    def run(
        self,
        make_worker: Callable[[], Worker[Any, Any]],
        tasks: Iterable[Any],
        advance: Advance,
    ) -> Generator[Any, None, None]:
        """Run the tasks; see `Runner.run`."""
        return self._runner.run(partial(_NotingWorker, make_worker, self._folder), tasks, advance)

    def notes(self) -> list[Note]:
        """Return what each worker noted, the first that was ready first."""
        notes = [Note(**json.loads(path.read_text())) for path in self._folder.iterdir()]
        return sorted(notes, key=lambda note: note.ready)


class _NotingWorker:
    def __init__(self, make_worker: Callable[[], Worker[Any, Any]], folder: Path) -> None:
        self._worker = make_worker()
        self._note = Note(ready=time.monotonic())
        self._path = folder / f"{os.getpid()}.json"

    def __call__(self, task: Any, advance: Advance) -> Any:
        result = self._worker(task, advance)
        self._note.first_result = self._note.first_result or time.monotonic()
        self._note.peak_mb = memory_mb("VmHWM")
        self._path.write_text(json.dumps(asdict(self._note)))
        return result
