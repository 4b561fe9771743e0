"""The size of tasks, and the disk that interim shards take until they are joined."""

from __future__ import annotations

LONGEST_TASK_S = 600.0
"""Audio of a task, in seconds, unless the run says otherwise."""

WINDOW_S = 50 * 3600.0
"""Audio of consecutive shards, in seconds, out of which a device's tasks are cut."""

_ROUNDS = 8  # tasks that each worker has at least, so that none idles for long at the end


def task_seconds(asked_s: float | None, left_s: float, num_workers: int) -> float:
    """Return the seconds of audio of a task.

    Args:
        asked_s: by the run, if it does.
        left_s: to compute, of all shards.
        num_workers: that share it.

    >>> task_seconds(None, 3_600_000, 4), task_seconds(None, 320, 4), task_seconds(90, 320, 4)
    (600.0, 10.0, 90)
    """
    return asked_s or min(LONGEST_TASK_S, left_s / (_ROUNDS * num_workers))


class InterimPeak:
    """The most bytes of interim shards that wait at a time.

    While those of one window are joined, those of the next are computed.

    Args:
        window_s: audio of a window of consecutive shards, in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._windows = [0, 0]  # bytes of the one before, and of the one that fills
        self._filled_s = 0.0
        self.num_bytes = 0

    def add(self, audio_s: float, num_bytes: int) -> None:
        """Take the next shard into account."""
        if self._filled_s >= self._window_s:
            self._windows = [self._windows[1], 0]
            self._filled_s = 0.0
        self._filled_s += audio_s
        self._windows[1] += num_bytes
        self.num_bytes = max(self.num_bytes, sum(self._windows))
