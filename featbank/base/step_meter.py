"""How far a step is: what is done of what there is, how fast, and the time that is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from featbank.base.amounts import amount
from featbank.base.notices import AT_WORK, Notice
from featbank.base.printing import size_text

AUDIO = "audio"
"""The unit of a step that goes through audio: its amounts are seconds."""

BYTES = "bytes"
"""The unit of a step that goes through files as they are."""

Clock = Callable[[], float]


class StepMeter:
    """Counts what a step tells, and says it in words. For any number of threads.

    The speed is that of what was computed, from when the workers had begun to work: what was taken
    over from a previous store tells nothing of the time that is left.

    Attributes:
        title: the step, in a few words.
        phase: what is waited for.
        total: how much there is to do; None where nobody knows.
        done: how much of it is done.
        failures: so far.
    """

    def __init__(
        self,
        title: str,
        total: float | None = None,
        *,
        unit: str = AUDIO,
        clock: Clock = time.monotonic,
    ) -> None:
        """Begin.

        Args:
            title: the step, in a few words.
            total: how much there is to do; None where nobody knows.
            unit: `AUDIO`, `BYTES`, or what is counted, such as `utterances`.
            clock: gives seconds that only grow.
        """
        self.title, self.total, self.unit = title, total, unit
        self.phase = AT_WORK
        self.done = self._reused = 0.0
        self.failures = 0
        self._clock = clock
        self._began = self._working = clock()
        self._lock = threading.Lock()

    def advance(self, amount_done: float) -> None:
        """Take in how much was done since the last call."""
        with self._lock:
            self.done += amount_done

    def hear(self, notice: Notice) -> None:
        """Take in what is new."""
        with self._lock:
            if notice.phase is not None:
                self.phase = notice.phase
                if not self._computed:
                    self._working = self._clock()
            if notice.total is not None:
                self.total = notice.total
            self._reused += notice.reused
            self.failures += notice.failures

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    @property
    def speed(self) -> float | None:
        """What is computed in a second; None before anything is."""
        took = self._clock() - self._working
        return self._computed / took if self._computed and took > 0 else None

    @property
    def left_s(self) -> float | None:
        """Seconds that computing the rest will take at this speed; None where nobody knows."""
        speed = self.speed
        if speed is None or self.total is None:
            return None
        return max(0.0, self.total - self.done) / speed

    def begun(self) -> str:
        """Say what is waited for from now on, or how much there is to do."""
        if self.phase != AT_WORK:
            return self.name
        if self.total is None:
            return f"{self.title}: at work"
        of_what = " of audio" if self.unit == AUDIO else ""
        return f"{self.title}: {self._amount(max(0.0, self.total - self.done))}{of_what} to go"

    @property
    def name(self) -> str:
        """The step, and what it waits for."""
        return f"{self.title}: {self.phase}" if self.phase else self.title

    def said(self) -> str:
        """Say how far it is: done of total, time, speed, failures."""
        parts = [self._of_total()] if self.done else []
        parts.append(f"{clock_time(self.elapsed_s)} elapsed")
        parts += self._ahead(" x real time")
        return f"{self.name}{',' if self.phase else ':'} {', '.join(parts)}"

    def said_short(self) -> str:
        """Say the same without its name, for a line of a terminal."""
        done = [self._of_total()] if self.done else []
        return ", ".join([*done, clock_time(self.elapsed_s), *self._ahead(" x")])

    def _ahead(self, times: str) -> Iterator[str]:
        if (left_s := self.left_s) is not None:
            yield f"{clock_time(left_s)} left"
        if self.unit == AUDIO and (speed := self.speed) is not None:
            yield f"{amount(speed)}{times}"
        if self.failures:
            yield f"{self.failures:,} {'failure' if self.failures == 1 else 'failures'}"

    @property
    def _computed(self) -> float:
        # rounding may leave a little of sums of the same seconds
        computed = self.done - self._reused
        return computed if computed > 1e-6 * self.done else 0.0

    def _of_total(self) -> str:
        if self.total is None:
            return self._amount(self.done)
        done, total = min(self.done, self.total), self._amount(self.total)
        if self.unit == BYTES:
            return f"{size_text(round(done))} of {total}"
        per = _unit_of(self.total)[0] if self.unit == AUDIO else 1
        return f"{_number(done / per, self.unit)} of {total}"

    def _amount(self, value: float) -> str:
        if self.unit == BYTES:
            return size_text(round(value))
        per, unit = _unit_of(value) if self.unit == AUDIO else (1, self.unit)
        return f"{_number(value / per, self.unit)} {unit}"


def _number(value: float, unit: str) -> str:
    return amount(value, 1) if unit == AUDIO else f"{value:,.0f}"


def clock_time(seconds: float) -> str:
    """Return a length of time as a clock shows it.

    >>> clock_time(59.7), clock_time(3_700), clock_time(200_000)
    ('0:01:00', '1:01:40', '55:33:20')
    """
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _unit_of(seconds: float) -> tuple[int, str]:
    return (1, "s") if seconds < 60 else (60, "min") if seconds < 3600 else (3600, "h")
