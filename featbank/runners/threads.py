"""Runner over threads of this process, for tasks that leave the interpreter free."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import ClassVar

from featbank.base.notices import AT_WORK, tell
from featbank.base.processors import usable_processors
from featbank.base.progress import Advance
from featbank.runners.base import (
    NOT_YET,
    NotYet,
    Result,
    Task,
    Worker,
    check_at_least,
    refuse_to_wait,
)


class ThreadRunner:
    """Runs tasks in threads, which share one worker: it must not mind.

    Args:
        num_workers: threads; None for one a processor that this process may use.

    Raises:
        ConfigError: the number is too small.
    """

    version: ClassVar[int] = 1

    gives_gpu = True
    """Those that this process sees."""

    def __init__(self, num_workers: int | None = None) -> None:
        check_at_least("num_workers", num_workers, 1)
        self._num_workers = num_workers or usable_processors()

    def count_workers(self) -> int:
        """Return the number of threads."""
        return self._num_workers

    def run(
        self,
        make_worker: Callable[[], Worker[Task, Result]],
        tasks: Iterable[Task | NotYet],
        advance: Advance,
    ) -> Generator[Result, None, None]:
        """Run the tasks; see `Runner.run`."""
        worker = make_worker()
        tell(phase=AT_WORK)
        pool = ThreadPoolExecutor(self._num_workers)
        waiting: set[Future[Result]] = set()
        try:
            for task in tasks:
                if task is not NOT_YET:
                    waiting.add(pool.submit(worker, task, advance))
                elif not waiting:
                    raise refuse_to_wait()
                if task is NOT_YET or len(waiting) > self._num_workers:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
