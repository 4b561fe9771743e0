"""Progress of a step on standard error: a live line on a terminal, a line a minute elsewhere.

A step says what it waits for from its first second, and then how far it is. What is shown comes
from one `StepMeter`, which hears `Advance` and the notices of `featbank.base.notices`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Protocol

from featbank.base.notices import AT_WORK, Notice, listening
from featbank.base.step_meter import AUDIO, Clock, StepMeter

_log = logging.getLogger(__name__)

Advance = Callable[[float], None]
"""Told how much is done since the last call, in the unit of its step: mostly seconds of audio."""

_LINE_S = 60.0  # between two lines of a log
_LOOK_S = 1.0  # between two looks whether a line is due


class Display(Protocol):
    """What shows the innermost of the steps that are under way."""

    meters: list[StepMeter]

    def hear(self, notice: Notice) -> None:
        """Take in what is new in that step."""

    def close(self) -> None:
        """Show no more."""


def live() -> bool:
    """Tell whether standard error is a terminal whose line can be drawn anew."""
    stream = sys.stderr
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def wanted() -> bool:
    """Tell whether to draw a live line unasked: on a terminal, and not in CI."""
    return live() and not os.environ.get("CI")


@contextmanager
def progress_bar(
    title: str, total: float | None = None, *, unit: str = AUDIO, show: bool | None = None
) -> Iterator[Advance]:
    """Show the progress of a step on standard error.

    Within another step, such as the whole of a stage, it is shown in the place of that.

    Args:
        title: the step, in a few words.
        total: how much to go through: seconds of audio, or of another unit; None where nobody
            knows.
        unit: `AUDIO`, `BYTES`, or what is counted, such as `utterances`.
        show: True draws a live line on a terminal, False is silent. None draws it but in CI. Where
            none is drawn, the log is told what is waited for, and once a minute how far it is.
    """
    meter = StepMeter(title, total, unit=unit)
    with ExitStack() as stack:
        if show is not False:
            display = _displays[-1] if _displays else stack.enter_context(_opened(meter, show))
            if meter not in display.meters:
                display.meters[-1].hear(Notice(phase=AT_WORK))  # what it waited for is over
                display.meters.append(meter)
                stack.callback(display.meters.remove, meter)
        yield meter.advance


def close_display() -> None:
    """Show no more of what is under way, for the result is to be printed."""
    for display in _displays:
        display.close()


def tell_on_stderr() -> None:
    """Have lines of progress written to standard error, for a program that sets up no log."""
    if not any(isinstance(handler, _OnStderr) for handler in _log.handlers):
        _log.addHandler(_OnStderr())
        _log.setLevel(logging.INFO)


class _OnStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # whatever that is by now; nobody need be there to read
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{record.getMessage()}\n")


_displays: list[Display] = []  # at most one


@contextmanager
def _opened(meter: StepMeter, show: bool | None) -> Iterator[Display]:
    display: Display
    if live() if show else wanted():
        # imported here: a log needs none of it
        from featbank.base.live_line import LiveLine

        display = LiveLine([meter])
    else:
        display = LogLines([meter])
    _displays.append(display)
    try:
        with listening(display.hear):
            yield display
    finally:
        _displays.remove(display)
        display.close()


class LogLines:
    """Tells the log each phase as it begins, and once a minute how far the step is.

    Args:
        meters: of the steps that are under way, the innermost last.
        clock: gives seconds that only grow.
        is_ticking: has a thread look at it now and then; else `tick` is called.
    """

    def __init__(
        self, meters: list[StepMeter], *, clock: Clock = time.monotonic, is_ticking: bool = True
    ) -> None:
        self.meters = meters
        self._clock = clock
        self._told_at = clock()
        self._told: set[tuple[str, str]] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="progress", daemon=True)
        if is_ticking:
            self._thread.start()

    def hear(self, notice: Notice) -> None:
        """Take in what is new, and tell a phase that begins; one that comes again is told once."""
        if self._over.is_set():
            return
        meter = self.meters[-1]
        meter.hear(notice)
        if notice.phase is not None and (meter.title, meter.phase) not in self._told:
            self._told.add((meter.title, meter.phase))
            _log.info("%s", meter.begun())

    def tick(self) -> None:
        """Tell how far it is, where a minute has gone by since that was told."""
        if self._clock() - self._told_at >= _LINE_S:
            self._told_at = self._clock()
            _log.info("%s", self.meters[-1].said())

    def close(self) -> None:
        """Tell no more."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            self.tick()


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
