"""Hand tasks out to workers as they become free, and again when a worker died.

The coordinator's side of every runner with processes, jobs or actors of its own.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from featbank.base.notices import NO_PROGRESS, TaskProgress, tell
from featbank.base.progress import Advance
from featbank.errors import FeatbankError
from featbank.runners.base import NOT_YET, NotYet, Task, refuse_to_wait
from featbank.runners.performing import Outcome

_log = logging.getLogger(__name__)

_TASK_CHARACTERS = 160  # of a task in an error: enough to tell its first utterance


@dataclass(slots=True, eq=False)
class Attempt(Generic[Task]):
    """A task in a worker's hands.

    Args:
        number: of the task, from 0 on.
        task: itself.
        deaths: workers that have died of it.
        told: how far it is, as the caller has been told.
    """

    number: int
    task: Task
    deaths: int = 0
    told: TaskProgress = NO_PROGRESS


@dataclass(frozen=True, slots=True)
class Told:
    """A worker is so far in its task."""

    attempt: Attempt[Any]
    progress: TaskProgress


@dataclass(frozen=True, slots=True)
class Done:
    """A worker is done with its task."""

    attempt: Attempt[Any]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Died:
    """A worker died, in the way that `how` says."""

    attempt: Attempt[Any]
    how: str


Event = Told | Done | Died


class Crew(Protocol):
    """The workers of one run."""

    @property
    def has_room(self) -> bool:
        """Whether one more task may be handed out."""

    @property
    def is_busy(self) -> bool:
        """Whether a task is handed out."""

    def hand(self, attempt: Attempt[Any]) -> None:
        """Hand a task out, where there is room."""

    def wait(self) -> Sequence[Event]:
        """Wait for something to happen and return it; now and then nothing."""

    def end(self) -> None:
        """End all workers, at once where they are busy, and clear away what they leave."""


def coordinate(
    crew: Crew, tasks: Iterable[Task | NotYet], *, max_retries: int, advance: Advance, hint: str
) -> Generator[Any, None, None]:
    """Run tasks on a crew and end it, however this ends; see `Runner.run`.

    Args:
        crew: of the run.
        tasks: consumed as there is room.
        max_retries: how often one task may go to another worker.
        advance: told the seconds of audio done.
        hint: what to do when workers die.
    """
    handout = _Handout(tasks, max_retries=max_retries, advance=advance, hint=hint)
    try:
        handout.fill(crew)
        while crew.is_busy:
            results = []
            for event in crew.wait():
                handout.settle(event)
                if isinstance(event, Done):
                    results.append(event.outcome.get())
            handout.fill(crew)  # before the caller takes its time over the results
            for result in results:
                yield result
                handout.fill(crew)  # with what waited for it
        handout.check_over()
    finally:
        crew.end()


class _Handout(Generic[Task]):
    """Tasks to hand out: first those that came back, then new ones, taken one at a time."""

    def __init__(
        self, tasks: Iterable[Task | NotYet], *, max_retries: int, advance: Advance, hint: str
    ) -> None:
        self._tasks = iter(tasks)
        self._max_retries = max_retries
        self._advance = advance
        self._hint = hint
        self._back: deque[Attempt[Task]] = deque()
        self._taken = 0
        self._waits = False  # for a result
        self._phase: str | None = None  # that was told last, until a worker has computed something
        self._is_computing = False

    def check_over(self) -> None:
        if self._waits:
            raise refuse_to_wait()

    def fill(self, crew: Crew) -> None:
        while crew.has_room and (attempt := self._take()):
            crew.hand(attempt)

    def _take(self) -> Attempt[Task] | None:
        if self._back:
            return self._back.popleft()
        self._waits = False
        for task in self._tasks:
            if task is NOT_YET:
                self._waits = True
                return None
            self._taken += 1
            return Attempt(self._taken - 1, task)
        return None

    def settle(self, event: Event) -> None:
        match event:
            case Told(attempt, progress):
                self._tell(attempt, progress)
            case Done(attempt, outcome):
                self._tell(attempt, outcome.progress)
            case Died(attempt, how):
                self._bury(attempt, how)

    def _tell(self, attempt: Attempt[Task], progress: TaskProgress) -> None:
        # what was told of it before a worker died counts once
        told = attempt.told
        attempt.told = TaskProgress(
            done_s=max(told.done_s, progress.done_s),
            reused_s=max(told.reused_s, progress.reused_s),
            failures=max(told.failures, progress.failures),
        )
        # later ones load and compile while others work
        if not self._is_computing and progress.phase != self._phase:
            self._phase = progress.phase
            tell(phase=progress.phase)
        self._is_computing |= progress.done_s > progress.reused_s
        reused_s = attempt.told.reused_s - told.reused_s
        failures = attempt.told.failures - told.failures
        if reused_s or failures:
            tell(reused=reused_s, failures=failures)
        if attempt.told.done_s > told.done_s:
            self._advance(attempt.told.done_s - told.done_s)

    def _bury(self, attempt: Attempt[Task], how: str) -> None:
        attempt.deaths += 1
        if attempt.deaths <= self._max_retries:
            _log.warning("a worker died (%s): its task goes to another", how)
            self._back.append(attempt)
            self._phase, self._is_computing = None, False  # what its new worker waits for is told
            return
        task = repr(attempt.task)
        if len(task) > _TASK_CHARACTERS:
            task = task[:_TASK_CHARACTERS] + "..."
        raise FeatbankError(
            f"{attempt.deaths} workers died of one task" if attempt.deaths > 1 else "a worker died",
            expected="a result",
            got=f"{how}, at {task}",
            hint=self._hint,
        )
