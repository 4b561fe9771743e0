"""Workers in actors of Ray, started, given tasks and buried by the coordinator.

Ray's own pool and retries were tried (Ray 2.60) and do not keep the contract. `ray.util.ActorPool`
gives tasks to actors that wait for room, where others hold the cluster, and a run of eight short
tasks never ended. With `max_restarts` and `max_task_retries` one lost node spent all tries of its
task within a second, for each message that does not reach it counts as one, and nobody is told of a
death. Plain tasks of Ray end their process after each use of a GPU, and the model is loaded anew.
"""

from __future__ import annotations

import logging
import math
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from featbank.base.notices import TaskProgress
from featbank.runners.coordinating import Attempt, Died, Done, Event, Told
from featbank.runners.performing import Performer

_log = logging.getLogger(__name__)

_PROGRESS_S = 1.0  # between two questions about progress
_WARN_S = 60.0  # without an actor, before it is said that there is none
_DEATH_CHARACTERS = 160  # of Ray's account of a death


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShare:
    """What an actor takes of a node.

    >>> node = {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}
    >>> NodeShare(num_cpus=1, num_gpus=0).fits([node])
    4
    >>> NodeShare(num_cpus=1, num_gpus=0.5).fits([node])
    2
    """

    num_cpus: float
    num_gpus: float

    def __str__(self) -> str:
        return f"{self.num_cpus:g} processors" + (
            f" and {self.num_gpus:g} GPUs" if self.num_gpus else ""
        )

    def fits(self, nodes: Iterable[Mapping[str, Any]]) -> int:
        """Return how many actors the nodes have room for when they do nothing else."""
        return sum(self._fits(node["Resources"]) for node in nodes if node["Alive"])

    def _fits(self, resources: Mapping[str, float]) -> int:
        wanted = {"CPU": self.num_cpus, "GPU": self.num_gpus}
        return min(
            math.floor(resources.get(name, 0) / number + 1e-9)
            for name, number in wanted.items()
            if number
        )


class RayCrew:
    """Actors that are started when there is something for them to do.

    A task is given to an actor that runs already: one that waits for room holds no task up.

    Args:
        make_worker: pickled.
        num_workers: actors at a time.
        share: that each takes of the cluster.
    """

    def __init__(self, make_worker: bytes, num_workers: int, share: NodeShare) -> None:
        import ray

        self._ray = ray
        self._num_workers = num_workers
        self._progress: Any = ray.remote(_Progress).options(num_cpus=0).remote()
        options = {"num_cpus": share.num_cpus, "num_gpus": share.num_gpus}
        actors = ray.remote(_Actor).options(**options, max_restarts=0, max_task_retries=0)
        self._start: Callable[[], Any] = lambda: actors.remote(make_worker, self._progress)
        self._waiting: deque[Attempt[Any]] = deque()
        self._starting: dict[Any, Any] = {}  # actors by the reference of their first answer
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Attempt[Any]]] = {}  # by the reference of the outcome
        self._asked: Any = None  # the reference of what there is of progress
        self._asked_at = time.monotonic()
        self._warn_at = time.monotonic() + _WARN_S

    @property
    def has_room(self) -> bool:
        """Whether an actor is idle or could be started."""
        return len(self._waiting) + len(self._busy) < self._num_workers

    @property
    def is_busy(self) -> bool:
        """Whether a task is handed out."""
        return bool(self._waiting or self._busy)

    def hand(self, attempt: Attempt[Any]) -> None:
        """Give a task to an idle actor, or to the one that is free first."""
        self._waiting.append(attempt)
        self._assign()
        actors = len(self._starting) + len(self._busy)
        if self._waiting and actors < self._num_workers:
            actor = self._start()
            self._starting[actor.answer.remote()] = actor

    def wait(self) -> list[Event]:
        """Wait until an actor is up, done or dead, or for a moment."""
        if self._asked is None and time.monotonic() - self._asked_at >= _PROGRESS_S:
            self._asked, self._asked_at = self._progress.take.remote(), time.monotonic()
        asked = [self._asked] if self._asked is not None else []
        references = [*self._starting, *self._busy, *asked]
        first, _ = self._ray.wait(references, timeout=_PROGRESS_S)
        if not first:
            self._warn()
            return []
        ready, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        events = [event for reference in ready for event in self._hear(reference)]
        self._assign()
        return events

    def end(self) -> None:
        """Kill the actors."""
        busy = [actor for actor, _ in self._busy.values()]
        for actor in [*self._starting.values(), *self._idle, *busy, self._progress]:
            self._ray.kill(actor)

    def _assign(self) -> None:
        while self._waiting and self._idle:
            actor, attempt = self._idle.pop(), self._waiting.popleft()
            packed = pickle.dumps(attempt.task)
            self._busy[actor.perform.remote(packed, attempt.number)] = actor, attempt

    def _hear(self, reference: Any) -> list[Event]:
        from ray.exceptions import RayError, RayTaskError

        actor, attempt = self._starting.pop(reference, None), None
        if actor is None and reference in self._busy:
            actor, attempt = self._busy.pop(reference)
        try:
            answer = self._ray.get(reference)
        except RayTaskError:  # a mistake of ours
            raise
        except RayError as error:
            if actor is None:
                _log.warning("no more progress is shown: %s", _summary(error))
                self._asked, self._asked_at = None, math.inf  # nor asked for
                return []
            # it may be out of reach only: whatever it does there, its task goes to another
            self._ray.kill(actor)
            # one that could not start dies of the task that it was started for
            attempt = attempt or (self._waiting.popleft() if self._waiting else None)
            return [Died(attempt, _summary(error))] if attempt else []
        if actor is None:
            self._asked = None
            told = {attempt.number: attempt for _, attempt in self._busy.values()}
            return [Told(told[number], one) for number, one in answer if number in told]
        self._idle.append(actor)
        return [Done(attempt, pickle.loads(answer))] if attempt else []  # noqa: S301 - of our actor

    def _warn(self) -> None:
        if self._busy or time.monotonic() < self._warn_at:
            return
        _log.warning("waiting for Ray to start a worker: its processors or GPUs may all be taken")
        self._warn_at = math.inf


def _summary(error: Exception) -> str:
    """Return the line of Ray's account that says how an actor died."""
    from ray.exceptions import OutOfMemoryError

    # the last one, but where advice follows
    line = str(error).strip().splitlines()[0 if isinstance(error, OutOfMemoryError) else -1]
    return line if len(line) <= _DEATH_CHARACTERS else line[:_DEATH_CHARACTERS] + "..."


class _Actor:
    """One worker process."""

    def __init__(self, make_worker: bytes, progress: Any) -> None:
        self._performer = Performer(make_worker)
        self._progress = progress

    def answer(self) -> None:
        """Tell that this process is up."""

    def perform(self, task: bytes, number: int) -> bytes:
        return self._performer.perform(
            task, lambda progress: self._progress.tell.remote(number, progress)
        )


class _Progress:
    """Where actors tell how far they are: the coordinator listens to it when it has time."""

    def __init__(self) -> None:
        self._told: dict[int, TaskProgress] = {}

    def tell(self, number: int, progress: TaskProgress) -> None:
        self._told[number] = progress

    def take(self) -> list[tuple[int, TaskProgress]]:
        told, self._told = list(self._told.items()), {}
        return told
