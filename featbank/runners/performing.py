"""Run a task in a worker and pack what came of it for the way back."""

from __future__ import annotations

import pickle
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from featbank.base.notices import AT_WORK, NO_PROGRESS, Notice, TaskProgress, listening, tell
from featbank.errors import FeatbankError
from featbank.runners.base import Worker

_REPORT_S = 0.2  # seconds between two reports of progress, so that these cost nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a task.

    Args:
        progress: how far it was at its end.
        result: what the worker returned.
        error: what it raised instead.
        where: the traceback of the error.
    """

    progress: TaskProgress
    result: Any = None
    error: Exception | None = None
    where: str = ""

    def get(self) -> Any:
        """Return the result, or raise the error with the worker's traceback as a note."""
        if self.error is None:
            return self.result
        self.error.add_note(f"In the worker:\n{self.where}")
        raise self.error


class Performer:
    """Runs pickled tasks in a worker process.

    The worker is made for the first task and not before, so that an error in that travels like any
    other.

    Args:
        make_worker: pickled.
    """

    def __init__(self, make_worker: bytes) -> None:
        self._make_worker = make_worker
        self._worker: Worker[Any, Any] | None = None

    def perform(self, task: bytes, report: Callable[[TaskProgress], None]) -> bytes:
        """Run a task and return its pickled `Outcome`.

        Args:
            task: pickled.
            report: given how far this task is, now and then; and at once what is waited for.
        """
        meter = _TaskMeter(report)
        try:
            with listening(meter.hear):
                if self._worker is None:
                    make_worker = pickle.loads(self._make_worker)  # noqa: S301 - of our coordinator
                    self._worker = make_worker()
                    tell(phase=AT_WORK)
                assert self._worker is not None
                result = self._worker(pickle.loads(task), meter.advance)  # noqa: S301
            return pickle.dumps(Outcome(result=result, progress=meter.progress))
        except Exception as error:  # noqa: BLE001 - the coordinator raises it
            where = "".join(traceback.format_exception(error))
            return pickle.dumps(
                Outcome(error=_portable(error), where=where, progress=meter.progress)
            )


class _TaskMeter:
    """Adds up what is told of a task, by any of its threads."""

    def __init__(self, report: Callable[[TaskProgress], None]) -> None:
        self.progress = NO_PROGRESS
        self._report = report
        self._reported = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, seconds: float) -> None:
        with self._lock:
            self.progress = replace(self.progress, done_s=self.progress.done_s + seconds)
            self._report_if(time.monotonic() - self._reported >= _REPORT_S)

    def hear(self, notice: Notice) -> None:
        with self._lock:
            before = self.progress
            self.progress = replace(
                before,
                reused_s=before.reused_s + notice.reused,
                failures=before.failures + notice.failures,
                phase=before.phase if notice.phase is None else notice.phase,
            )
            self._report_if(self.progress.phase != before.phase)

    def _report_if(self, is_due: bool) -> None:
        if is_due:
            self._report(self.progress)
            self._reported = time.monotonic()


def _portable(error: Exception) -> Exception:
    """Return an error that survives pickling, with the same text."""
    with suppress(Exception):  # whatever its class raises when it is pickled without a thought
        if type(pickle.loads(pickle.dumps(error))) is type(error):  # noqa: S301
            return error
    return FeatbankError(f"{type(error).__qualname__}: {error}")
