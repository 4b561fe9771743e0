"""Progress bars in audio time: the share done, the speed, the time left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from featbank.base.amounts import times_real_time

Advance = Callable[[float], None]
"""Told the seconds of audio done since the last call."""


class _RealTimeFactor(ProgressColumn):
    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        return Text(times_real_time(task.completed / elapsed) if elapsed else "")


def wanted() -> bool:
    """Tell whether to show progress: on a terminal, and not in CI."""
    return sys.stderr is not None and sys.stderr.isatty() and not os.environ.get("CI")


@contextmanager
def progress_bar(
    description: str, total_s: float, *, show: bool | None = None
) -> Iterator[Advance]:
    """Show the progress of a step over `total_s` seconds of audio on standard error.

    Args:
        description: the step, in a few words.
        total_s: seconds of audio to go through.
        show: whether to draw it; None draws on a terminal and stays quiet under CI and in files.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        _RealTimeFactor(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    visible = wanted() if show is None else show
    with Progress(
        *columns, console=Console(stderr=True), disable=not visible, transient=True
    ) as bar:
        task = bar.add_task(description, total=total_s)
        yield lambda seconds: bar.advance(task, seconds)


@contextmanager
def count_bar(
    description: str, total: int | None, *, show: bool | None = None
) -> Iterator[Callable[[int], None]]:
    """Show the progress of a step over a number of things on standard error.

    Args:
        description: the step, in a few words.
        total: how many there are; None when nobody knows.
        show: as of `progress_bar`.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    visible = wanted() if show is None else show
    with Progress(
        *columns, console=Console(stderr=True), disable=not visible, transient=True
    ) as bar:
        task = bar.add_task(description, total=total)
        yield lambda number: bar.advance(task, number)


class Stopwatch:
    """Measures how long a step took and how many times faster than its audio it was."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds since the start."""
        return time.perf_counter() - self._start

    def real_time_factor(self, audio_s: float) -> float:
        """Seconds of audio done in one second of wall-clock time."""
        return audio_s / self.seconds
