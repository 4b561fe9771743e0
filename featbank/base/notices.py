"""Notices of a step that works: told where something happens, heard by what shows it.

They go the way of log records: who has one to tell needs no handle of who listens, which is how a
library deep in a worker can say that it loads weights. Where nobody listens they cost
next to nothing. In a worker of another process its `Performer` listens, and `TaskProgress` is what
crosses to the process that shows it, a few times a second at most.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

AT_WORK = ""
"""The phase in which nothing is waited for: what there is to do is being done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is new in a step.

    Args:
        phase: what is waited for from now on, such as `starting 2 workers`; None for what was.
        reused: amount, among that told as done, which was taken over and not computed.
        failures: utterances that failed.
        total: how much there is to do in all; None where that was known before.
    """

    phase: str | None = None
    reused: float = 0.0
    failures: int = 0
    total: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgress:
    """How far a worker is in the task in its hands.

    Args:
        done_s: seconds of audio done.
        reused_s: of these, taken over and not computed.
        failures: utterances that failed.
        phase: what the worker waits for.
    """

    done_s: float = 0.0
    reused_s: float = 0.0
    failures: int = 0
    phase: str = AT_WORK


NO_PROGRESS = TaskProgress()
"""Of a task that was just begun."""

Listener = Callable[[Notice], object]

_listeners: list[Listener] = []  # the innermost is the last
# a forked worker of somebody's loader draws nothing on our terminal
os.register_at_fork(after_in_child=_listeners.clear)


def tell(
    *,
    phase: str | None = None,
    reused: float = 0.0,
    failures: int = 0,
    total: float | None = None,
) -> None:
    """Tell whoever shows this step what is new; see `Notice`. From any thread."""
    for listener in _listeners[-1:]:  # it may go meanwhile
        listener(Notice(phase=phase, reused=reused, failures=failures, total=total))


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have a function hear all notices that are told within a block, in place of others."""
    _listeners.append(listener)
    try:
        yield
    finally:
        with suppress(ValueError):  # in a forked child
            _listeners.remove(listener)
