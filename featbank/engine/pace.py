"""Decide how much audio a task gets: minutes, and less where workers would wait for the last."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

MOST_S = 600.0
"""Seconds of audio in a task, unless the run says otherwise: what a worker that is killed loses."""

_ROUNDS = 8  # tasks of the present size that each worker would get of what is left
_LEAST_WALL_S = 0.25  # of a worker's time: less is spent on handing out, opening and closing


class TaskPace:
    """How many seconds of audio the next task gets, by what is left and how fast workers are.

    Sizes fall towards the end, as in guided self-scheduling (Polychronopoulos and Kuck 1987), so
    that the workers are done at about the same time. No byte of a store depends on them.
    """

    def __init__(
        self,
        *,
        task_s: float | None,
        total_s: float,
        missing_share: float,
        count_workers: Callable[[], int],
    ) -> None:
        """Begin a run.

        Args:
            task_s: the most that a task gets; None for `MOST_S`.
            total_s: audio of the corpus.
            missing_share: of it, as far as can be told before its rows are looked at.
            count_workers: asked once there is a task, for it may start a cluster.
        """
        self.most_s = MOST_S if task_s is None else task_s
        self._unseen_s = total_s
        self._uncut_s = 0.0
        self._seen_s = self._missing_s = 0.0
        self._missing_share = missing_share
        self._count_workers = count_workers
        self._computed_s = self._wall_s = 0.0

    @cached_property
    def num_workers(self) -> int:
        """How many workers share what is left."""
        return self._count_workers()

    @property
    def left_s(self) -> float:
        """About how many seconds of audio are still to be handed out."""
        share = self._missing_share
        if self._seen_s:
            share = max(share, self._missing_s / self._seen_s)
        return self._uncut_s + max(0.0, self._unseen_s) * share

    @property
    def size_s(self) -> float:
        """Seconds of audio that the next task gets at most, unless it is one utterance."""
        if self.num_workers == 1:
            return self.most_s
        least_s = self.done_within(_LEAST_WALL_S) if self._wall_s else 0.0
        return min(self.most_s, max(least_s, self.left_s / (_ROUNDS * self.num_workers)))

    def done_within(self, wall_s: float) -> float:
        """Return the seconds of audio that a worker does in a time; of no known pace, a task's."""
        return wall_s * self._computed_s / self._wall_s if self._wall_s else self.most_s

    def see(self, audio_s: float, missing_s: float) -> None:
        """Take note of a shard of so much audio, of which so much is to be computed."""
        self._unseen_s -= audio_s
        self._seen_s += audio_s
        self._missing_s += missing_s
        self._uncut_s += missing_s

    def hand_out(self, audio_s: float) -> None:
        """Take note that so much of what is to be computed has become a task."""
        self._uncut_s -= audio_s

    def learn(self, computed_s: float, wall_s: float) -> None:
        """Take note of how long a worker took over so much audio."""
        if computed_s:
            self._computed_s += computed_s
            self._wall_s += wall_s
