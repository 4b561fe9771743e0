"""Runner over processes of this machine."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Generator, Iterable
from typing import ClassVar

from featbank.base.processors import usable_processors
from featbank.base.progress import Advance
from featbank.errors import ConfigError
from featbank.runners.base import MAX_RETRIES, NotYet, Result, Task, Worker, check_at_least
from featbank.runners.coordinating import coordinate
from featbank.runners.processes import ProcessCrew

_GPUS = "CUDA_VISIBLE_DEVICES"


class LocalRunner:
    """Runs tasks in processes of this machine.

    The processes are daemons: they may start programs, but no `multiprocessing` of their own.

    Args:
        num_workers: processes; None for one a GPU or, without GPUs, one a processor that this
            process may use.
        num_gpus: GPUs to spread the workers over, each of which then sees one; None leaves
            `CUDA_VISIBLE_DEVICES` as it is.
        max_retries: how often a task goes to another worker when its own died.

    Raises:
        ConfigError: a number is too small, or this process sees fewer GPUs.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        *,
        num_workers: int | None = None,
        num_gpus: int | None = None,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        check_at_least("num_workers", num_workers, 1)
        check_at_least("num_gpus", num_gpus, 1)
        check_at_least("max_retries", max_retries, 0)
        self._num_workers = num_workers or num_gpus or usable_processors()
        self._max_retries = max_retries
        self._gpus = _first_gpus(num_gpus or 0)

    @property
    def gives_gpu(self) -> bool:
        """True with `num_gpus`, and for a single worker, which sees what this process does."""
        return bool(self._gpus) or self._num_workers == 1

    def count_workers(self) -> int:
        """Return the number of processes."""
        return self._num_workers

    def run(
        self,
        make_worker: Callable[[], Worker[Task, Result]],
        tasks: Iterable[Task | NotYet],
        advance: Advance,
    ) -> Generator[Result, None, None]:
        """Run the tasks; see `Runner.run`."""
        gpus = self._gpus
        environments = [
            {_GPUS: gpus[number % len(gpus)]} if gpus else {} for number in range(self._num_workers)
        ]
        return coordinate(
            ProcessCrew(pickle.dumps(make_worker), environments),
            tasks,
            max_retries=self._max_retries,
            advance=advance,
            hint="out of memory? lower runner.num_workers, or look at the system's log; run again",
        )


def _first_gpus(number: int) -> list[str]:
    """Return the names of GPUs, of those that this process was given if it was given some."""
    given = os.environ.get(_GPUS)
    if given is None:
        return [str(index) for index in range(number)]
    names = [name.strip() for name in given.split(",") if name.strip()]
    if number > len(names):
        raise ConfigError(
            "runner.num_gpus",
            expected=f"at most the {len(names)} of {_GPUS}={given}",
            got=number,
        )
    return names[:number]
