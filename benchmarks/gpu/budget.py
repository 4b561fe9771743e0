"""A limit of wall-clock time, shared out among what is still to be measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

Clock = Callable[[], float]


class Deadline:
    """A point of time, before which things have to be done.

    Args:
        seconds: from now.
        clock: that tells the time, in seconds.
    """

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._ends = clock() + seconds

    @property
    def left_s(self) -> float:
        """Seconds until then; below 0 when it is over."""
        return self._ends - self._clock()

    @property
    def is_over(self) -> bool:
        return self.left_s <= 0

    def part(self, share: float, most_s: float = math.inf) -> Deadline:
        """Return an earlier one: in a share of what is left, and no more than `most_s`."""
        return Deadline(min(max(0.0, self.left_s) * share, most_s), self._clock)
