"""The contract of a runner, which spreads tasks over workers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from enum import Enum
from typing import Final, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from featbank.base.progress import Advance
from featbank.errors import ConfigError, FeatbankError

Task = TypeVar("Task")
Result = TypeVar("Result")


class _Wait(Enum):
    NOT_YET = "not yet"


NotYet: TypeAlias = Literal[_Wait.NOT_YET]

NOT_YET: Final = _Wait.NOT_YET
"""In place of a task: none is known before another result has been taken in."""

Worker = Callable[[Task, Advance], Result]
"""Runs one task, telling the seconds of audio as they are done. Made once a process."""

MAX_RETRIES = 2
"""How often a task is given to another worker, unless the configuration says otherwise."""


@runtime_checkable
class Runner(Protocol):
    """Spreads tasks over workers; which one runs a task, and when, must not change its result.

    How many workers there are is asked for by `count_workers` and read from nothing else: an option
    such as `num_workers: null` says it to nobody but its runner.
    """

    @property
    def gives_gpu(self) -> bool:
        """Whether workers have a GPU each, or shares of one that the configuration states."""

    def count_workers(self) -> int:
        """Return how many workers a run would have at a time, if it had tasks for them.

        A method and no attribute: a cluster may have to be asked.

        Raises:
            FeatbankError: the run would end with it: it has no room for its workers.
        """

    def run(
        self,
        make_worker: Callable[[], Worker[Task, Result]],
        tasks: Iterable[Task | NotYet],
        advance: Advance,
    ) -> Generator[Result, None, None]:
        """Run every task and give each result once, as it comes, in any order.

        A worker that dies costs its task only: another one runs that anew, so a task must not mind
        that half of it was done before. Closing the generator ends all workers.

        Args:
            make_worker: picklable; called once in each process, so that a model is loaded once.
            tasks: each picklable; taken as workers become free, a few ahead of them, and handed out
                one at a time, so that a slow one holds up nobody. At `NOT_YET` they are asked again
                once the caller has taken the next result; it is never the first, nor said while no
                task is out and no result on its way.
            advance: told the seconds of audio done, whichever worker did them; once, even where a
                task was begun twice.

        Raises:
            FeatbankError: a task saw its workers die more than `max_retries` times; or tasks wait
                for a result that cannot come.
            Exception: the first error that a worker raises, or that making one does. It ends the
                run, and has the worker's traceback as a note.
        """


def refuse_to_wait() -> FeatbankError:
    """Return the error that tasks wait for a result where none is on its way."""
    return FeatbankError("tasks for workers", expected="one, or an end", got="none until a result")


def check_at_least(name: str, value: float | None, least: float) -> None:
    """Refuse a number of a runner's configuration that is too small; None is none of our business.

    Raises:
        ConfigError: `value` is below `least`.
    """
    if value is not None and value < least:
        raise ConfigError(f"runner.{name}", expected=f"{least} or more", got=value)
