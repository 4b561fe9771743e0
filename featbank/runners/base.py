"""What a runner promises, and what it is given to run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

from featbank.progress import Advance

Task = TypeVar("Task")
Result = TypeVar("Result")

Worker = Callable[[Task, Advance], Result]
"""Runs one task, telling the seconds of audio as they are done. Made once a process."""


class Runner(Protocol):
    """Spreads tasks over workers; which one runs a task, and when, must not change its result."""

    def run(
        self,
        make_worker: Callable[[], Worker[Task, Result]],
        tasks: Sequence[Task],
        advance: Advance,
    ) -> Generator[Result, None, None]:
        """Run every task once and give each result as it comes, in any order.

        Args:
            make_worker: picklable; called once in each process, so that a model is loaded once.
            tasks: picklable; handed out one at a time, so that a slow one holds up nobody.
            advance: told the seconds of audio done, whichever worker did them.

        Raises:
            Exception: the first error of a worker ends the run.
        """
