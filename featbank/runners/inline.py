"""Runner in this very process, one task after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import ClassVar

from featbank.base.notices import AT_WORK, tell
from featbank.base.progress import Advance
from featbank.runners.base import NOT_YET, NotYet, Result, Task, Worker, refuse_to_wait


class InlineRunner:
    """Runs tasks in the process that asks for them, where a debugger or a profiler can see them."""

    version: ClassVar[int] = 1

    gives_gpu = True
    """Those that this process sees."""

    def count_workers(self) -> int:
        """Return 1: this process."""
        return 1

    def run(
        self,
        make_worker: Callable[[], Worker[Task, Result]],
        tasks: Iterable[Task | NotYet],
        advance: Advance,
    ) -> Generator[Result, None, None]:
        """Run the tasks; see `Runner.run`. The worker is made for the first of them."""
        worker: Worker[Task, Result] | None = None
        for task in tasks:
            if task is NOT_YET:  # though all results have been taken
                raise refuse_to_wait()
            if worker is None:
                worker = make_worker()
                tell(phase=AT_WORK)
            yield worker(task, advance)
