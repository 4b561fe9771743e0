"""The disk that interim shards take until they are joined into those of a store."""

from __future__ import annotations

from collections import deque


class WaitingBytes:
    """The most bytes of interim shards that wait at a time.

    Args:
        num_windows: of consecutive shards that are open at a time: computed, or not yet joined.

    Attributes:
        most: of them, so far.
    """

    def __init__(self, num_windows: int) -> None:
        self._open: deque[int] = deque(maxlen=num_windows)
        self.most = 0

    def add(self, num_bytes: int) -> None:
        """Take the next window into account."""
        self._open.append(num_bytes)
        self.most = max(self.most, sum(self._open))
