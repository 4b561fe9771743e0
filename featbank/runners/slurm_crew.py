"""Workers in jobs of Slurm, given tasks and buried by what files they leave in a folder."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from featbank.base.notices import tell
from featbank.errors import FeatbankError
from featbank.runners.coordinating import Attempt, Died, Done, Event, Told
from featbank.runners.exchange import Beat, Exchange
from featbank.runners.silence import Silence
from featbank.runners.slurm_jobs import SlurmJobs
from featbank.runners.slurm_worker import split_worker

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.1, 1.0  # between two looks for results
_END_S = 10.0  # in which cancelled jobs may end before their folder is removed


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPatience:
    """How long to wait before what is taken for dead.

    Args:
        beat_s: seconds between two signs of life, and between two looks for them.
        stale_s: seconds without one after which a worker, or the coordinator, is taken for dead.
        idle_deaths: jobs that may end without a task in hand before another result comes.
    """

    beat_s: float
    stale_s: float
    idle_deaths: int


class SlurmCrew:
    """Workers in jobs of Slurm, which are submitted when there is something for them to do.

    Args:
        exchange: made for this run.
        jobs: of this run.
        num_workers: jobs at a time, and tasks that wait for one.
        patience: with workers.
    """

    def __init__(
        self, exchange: Exchange, jobs: SlurmJobs, *, num_workers: int, patience: JobPatience
    ) -> None:
        self._exchange = exchange
        self._jobs = jobs
        self._num_workers = num_workers
        self._patience = patience
        self._attempts: dict[int, Attempt[Any]] = {}  # handed out, by number
        self._offers: dict[int, str] = {}  # the names of their files
        self._num_offers = 0
        self._unclaimed: Collection[str] = set()
        self._alive: set[str] = set()  # jobs
        self._signs: dict[str, Silence] = {}  # of workers
        self._idle_deaths = 0
        self._is_refused = False  # the last submission
        self._pause_s = _FIRST_PAUSE_S
        self._looked_at = float("-inf")
        self._keep_logs = False
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    @property
    def has_room(self) -> bool:
        """Whether few tasks wait to be claimed."""
        return len(self._unclaimed) < self._num_workers

    @property
    def is_busy(self) -> bool:
        """Whether a task is handed out."""
        return bool(self._attempts)

    def hand(self, attempt: Attempt[Any]) -> None:
        """Offer a task to whichever worker comes first."""
        # a name of its own for each offer: an old one may still be in a straggler's hands
        name = f"{attempt.number:09d}-{self._num_offers}"
        self._num_offers += 1
        self._attempts[attempt.number], self._offers[attempt.number] = attempt, name
        self._exchange.offer(name, pickle.dumps(attempt.task))
        self._unclaimed = {*self._unclaimed, name}

    def wait(self) -> list[Event]:
        """Look for results now, and for signs of life now and then."""
        events = self._results()
        if time.monotonic() - self._looked_at >= self._patience.beat_s:
            events += self._look()
            self._looked_at = time.monotonic()
        if events:
            self._pause_s = _FIRST_PAUSE_S
        else:
            time.sleep(self._pause_s)
            self._pause_s = min(1.5 * self._pause_s, _LAST_PAUSE_S)
        self._unclaimed = self._exchange.unclaimed()
        return events

    def end(self) -> None:
        """Cancel the jobs and remove the folder; logs stay where a worker died."""
        self._over.set()
        self._heart.join()
        self._exchange.end()
        self._jobs.cancel()
        deadline = time.monotonic() + _END_S
        while self._alive and self._jobs.listed() and time.monotonic() < deadline:
            time.sleep(0.2)
        self._exchange.remove(keep_logs=self._keep_logs)
        if self._keep_logs:
            _log.warning("what the workers that died have printed: %s", self._exchange.logs)

    def _beat(self) -> None:
        count = 0
        while True:
            try:
                self._exchange.beat_coordinator(count)
            except OSError as error:  # a full disk is no reason to end: it may be so for a moment
                _log.warning("no sign of life for the workers: %s", error)
            count += 1
            if self._over.wait(self._patience.beat_s):
                return

    def _results(self) -> list[Event]:
        events: list[Event] = []
        for name, packed in self._exchange.results():
            number = int(name.partition("-")[0])
            if number in self._attempts:  # and no straggler's, whose task another has done
                self._exchange.withdraw(self._offers.pop(number))
                events.append(Done(self._attempts.pop(number), pickle.loads(packed)))  # noqa: S301
                self._idle_deaths = 0
        return events

    def _look(self) -> list[Event]:
        """Look after the workers: what they have done, who has died, who is missing.

        Raises:
            FeatbankError: the folder is gone, or see `_replace`.
        """
        if not self._exchange.is_there:
            raise FeatbankError(
                f"folder {self._exchange.folder}, through which the jobs of Slurm are told",
                expected="it to stay until the run is over",
                got="it is gone",
                hint=f"was this process stopped? Jobs remove it after {self._patience.stale_s:g} s "
                "(runner.stale_s) without a sign of life; run again",
            )
        beats = self._exchange.beats()
        events = self._told(beats)
        listed = self._jobs.listed() if self._alive else set()
        events += self._results()  # what a job that has ended left
        died = self._died(listed, beats)
        events += died
        if listed is not None:
            self._replace(self._alive - listed, num_died=len(died))
        return events

    def _told(self, beats: Mapping[str, Beat]) -> list[Event]:
        events: list[Event] = []
        for worker, beat in beats.items():
            self._note(worker)
            number = int(beat.task.partition("-")[0]) if beat.task else -1
            if self._offers.get(number) == beat.task:
                events.append(Told(self._attempts[number], beat.progress))
        return events

    def _note(self, worker: str) -> None:
        """Take note of a worker, and warn of a requeued job at its first sign of life.

        It is said each time: a task that takes longer than a job may run would go on for ever.
        """
        if worker in self._signs:
            return
        job, restarts = split_worker(worker)
        if restarts:
            _log.warning(
                "job %s of Slurm was requeued (%d so far) and begins its task anew: one that takes "
                "longer than runner.timeout_min is never done",
                job,
                restarts,
            )
        self._signs[worker] = Silence()

    def _died(self, listed: set[str] | None, beats: Mapping[str, Beat]) -> list[Event]:
        """Take the tasks of dead workers back."""
        newest: dict[str, int] = {}
        for worker in self._signs:
            job, restarts = split_worker(worker)
            newest[job] = max(restarts, newest.get(job, 0))
        events: list[Event] = []
        for name, worker in self._exchange.claims().items():
            job, restarts = split_worker(worker)
            self._note(worker)  # it may have come since the beats were read
            silence = self._signs[worker]
            silence.look(beats[worker].count if worker in beats else None)
            if listed is not None and job not in listed:
                how = f"its job {job} of Slurm has ended"
            elif restarts < newest.get(job, 0):
                how = f"its job {job} of Slurm was begun anew"
            elif silence.is_longer_than(self._patience.stale_s):
                how = f"its job {job} of Slurm gave no sign of life"
                self._jobs.cancel([job])
            else:
                continue
            number = int(name.partition("-")[0])
            if self._exchange.take_back(name, worker) and self._offers.get(number) == name:
                self._keep_logs = True
                del self._offers[number]
                words = self._jobs.last_words(job)
                events.append(Died(self._attempts.pop(number), f"{how}: {words}" if words else how))
        return events

    def _replace(self, ended: set[str], *, num_died: int) -> None:
        """Submit jobs in the place of those that have ended.

        Raises:
            FeatbankError: they end before they do anything.
        """
        self._alive -= ended
        self._idle_deaths += max(0, len(ended) - num_died)
        if self._idle_deaths > self._patience.idle_deaths:
            self._keep_logs = True
            raise FeatbankError(
                f"{self._idle_deaths} jobs of Slurm ended before they took a task",
                expected="them to work",
                got=self._jobs.last_words(max(ended)) or "no word from them",
                hint=f"see {self._exchange.logs}, and sacct if there is accounting",
            )
        missing = min(self._num_workers, len(self._attempts)) - len(self._alive)
        if missing > 0:
            self._alive |= self._submitted(missing)

    def _submitted(self, number: int) -> set[str]:
        """Submit jobs; none where Slurm takes no more for now, while others work on.

        Raises:
            FeatbankError: it takes none, and none works.
        """
        if not self._signs:
            tell(phase=f"waiting for Slurm to start {number:,} jobs")
        try:
            jobs = set(self._jobs.submit(number))
        except FeatbankError as error:
            if not self._alive:
                raise
            if not self._is_refused:
                _log.warning("the run goes on with %d jobs: %s", len(self._alive), error)
            self._is_refused = True
            return set()
        self._is_refused = False
        return jobs
