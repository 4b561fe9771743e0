"""The worker in a job of Slurm: it claims one task after the other until the run is over."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

from featbank.base.notices import NO_PROGRESS, TaskProgress
from featbank.runners.exchange import Beat, Exchange
from featbank.runners.performing import Performer
from featbank.runners.silence import Silence

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.1, 2.0  # between two looks for a task


@dataclass(slots=True)
class WorkerLoop:
    """Claims and runs tasks of a folder; picklable, for submitit to send it to the job.

    A job that is to go - preempted, requeued, at its time limit - gives its task back first. One
    that sees no sign of life of its coordinator ends by itself.

    Args:
        folder: of the exchange.
        beat_s: seconds between two signs of life.
        stale_s: seconds without one after which the coordinator is taken for dead.
    """

    folder: str
    beat_s: float
    stale_s: float
    _duty: _Duty | None = field(default=None, init=False)

    def __call__(self, _number: int) -> None:
        """Work until the run is over; `_number` tells the jobs of an array apart for submitit."""
        self._duty = _Duty(Exchange(self.folder))
        signal.signal(signal.SIGTERM, self._leave)
        life = _Life(self._duty, self.beat_s, self.stale_s)
        threading.Thread(target=life.show, daemon=True).start()
        self._duty.work()

    def checkpoint(self, *arguments: Any) -> Any:
        """Give the task back: submitit requeues this job, which then begins anew."""
        from submitit.helpers import DelayedSubmission

        assert self._duty is not None
        self._duty.leave()
        return DelayedSubmission(WorkerLoop(self.folder, self.beat_s, self.stale_s), *arguments)

    def _leave(self, number: int, _frame: object) -> NoReturn:
        assert self._duty is not None
        self._duty.leave()
        sys.exit(128 + number)


class _Duty:
    """The tasks of one job, one at a time."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.worker = _worker_name()
        self.task = ""
        self.progress = NO_PROGRESS
        self._leaves = False

    def work(self) -> None:
        performer = Performer(self.exchange.make_worker.read_bytes())
        pause_s = _FIRST_PAUSE_S
        while self.exchange.coordinator() is not None:
            claimed = self.exchange.claim(self.worker)
            if claimed is None:
                time.sleep(pause_s)
                pause_s = min(1.5 * pause_s, _LAST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            self.task, task = claimed
            outcome = performer.perform(task, self._report)
            if self._leaves:  # the task has been given back, and what was raised is about that
                return
            self.exchange.answer(self.task, self.worker, outcome)
            self.task, self.progress = "", NO_PROGRESS

    def leave(self) -> None:
        self._leaves = True
        if self.task:
            self.exchange.give_back(self.task, self.worker)

    def _report(self, progress: TaskProgress) -> None:
        self.progress = progress


class _Life:
    """Signs of life, given and looked for in a thread of its own.

    A file system that fails for a moment ends neither the one nor the other.
    """

    def __init__(self, duty: _Duty, beat_s: float, stale_s: float) -> None:
        self._duty = duty
        self._beat_s = beat_s
        self._stale_s = stale_s

    def show(self) -> NoReturn:
        count, silence = 0, Silence()
        while True:
            self._give(count)
            time.sleep(self._beat_s)
            count += 1
            silence.look(self._coordinator())
            if silence.is_longer_than(self._stale_s):
                try:
                    self._duty.exchange.remove()  # nobody else does
                finally:
                    os._exit(1)

    def _give(self, count: int) -> None:
        beat = Beat(count=count, task=self._duty.task, progress=self._duty.progress)
        try:
            self._duty.exchange.beat(self._duty.worker, beat)
        except OSError as error:
            _log.warning("no sign of life for the coordinator: %s", error)

    def _coordinator(self) -> int | None:
        try:
            return self._duty.exchange.coordinator()
        except OSError as error:
            _log.warning("no sign of life of the coordinator: %s", error)
            return None


def split_worker(worker: str) -> tuple[str, int]:
    """Split the name of a worker into its job and how often that has been requeued before.

    >>> split_worker("1234_5.1")
    ('1234_5', 1)
    """
    job, _, restarts = worker.rpartition(".")
    return job, int(restarts)


def _worker_name() -> str:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    return f"{job}.{os.environ.get('SLURM_RESTART_COUNT', 0)}"
