"""A runner in this process that hands out as many tasks as it gets, and does them out of order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

from featbank.base.progress import Advance
from featbank.engine.tasks import ShardResult, Workload
from featbank.runners.base import NOT_YET


@dataclass
class InTurn:
    """Workers that take turns, the task that was handed out last before the others.

    Args:
        num_workers: each of which has a task before the first is done.
        after: told each result before the run is.
        differ: makes worker number n another one.

    Attributes:
        workloads: that were done.
        told_s: seconds of audio of which a worker has told.
    """

    num_workers: int = 3
    after: Callable[[ShardResult], object] = lambda _: None
    differ: Callable[[int, Any], object] = lambda _number, _worker: None
    gives_gpu = True
    workloads: list[Workload] = field(default_factory=list)
    told_s: float = 0.0

    def count_workers(self) -> int:
        return self.num_workers

    def run(
        self, make_worker: Callable[[], Any], tasks: Iterable[Any], _: Advance
    ) -> Generator[Any, None, None]:
        workers: dict[int, Any] = {}
        out: list[Workload] = []

        def do() -> tuple[ShardResult, ...]:
            workload, number = out.pop(), len(self.workloads) % self.num_workers
            if number not in workers:
                workers[number] = make_worker()
                self.differ(number, workers[number])
            results: tuple[ShardResult, ...] = workers[number](workload, self._tell)
            self.workloads.append(workload)
            for result in results:
                self.after(result)
            return results

        for task in tasks:
            if task is not NOT_YET:
                out.append(task)
            if task is NOT_YET or len(out) == self.num_workers:
                yield do()
        while out:
            yield do()

    def _tell(self, seconds: float) -> None:
        self.told_s += seconds
