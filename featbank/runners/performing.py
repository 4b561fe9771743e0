"""Run a task in a worker and pack what came of it for the way back."""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from featbank.errors import FeatbankError
from featbank.runners.base import Worker

_TELL_S = 0.2  # seconds between two reports of progress, so that these cost nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a task.

    Args:
        done_s: seconds of audio in it.
        result: what the worker returned.
        error: what it raised instead.
        where: the traceback of the error.
    """

    done_s: float
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

    def perform(self, task: bytes, tell: Callable[[float], None]) -> bytes:
        """Run a task and return its pickled `Outcome`.

        Args:
            task: pickled.
            tell: given the seconds of audio done so far in this task, now and then.
        """
        meter = _Meter(tell)
        try:
            if self._worker is None:
                self._worker = pickle.loads(self._make_worker)()  # noqa: S301 - of our coordinator
            assert self._worker is not None
            result = self._worker(pickle.loads(task), meter.advance)  # noqa: S301
            return pickle.dumps(Outcome(result=result, done_s=meter.done_s))
        except Exception as error:  # noqa: BLE001 - the coordinator raises it
            where = "".join(traceback.format_exception(error))
            return pickle.dumps(Outcome(error=_portable(error), where=where, done_s=meter.done_s))


class _Meter:
    def __init__(self, tell: Callable[[float], None]) -> None:
        self.done_s = 0.0
        self._tell = tell
        self._told = time.monotonic()

    def advance(self, seconds: float) -> None:
        self.done_s += seconds
        if time.monotonic() - self._told >= _TELL_S:
            self._tell(self.done_s)
            self._told = time.monotonic()


def _portable(error: Exception) -> Exception:
    """Return an error that survives pickling, with the same text."""
    with suppress(Exception):  # whatever its class raises when it is pickled without a thought
        if type(pickle.loads(pickle.dumps(error))) is type(error):  # noqa: S301
            return error
    return FeatbankError(f"{type(error).__qualname__}: {error}")
