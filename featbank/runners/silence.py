"""Measure how long the other side of a run has shown no sign of life."""

from __future__ import annotations

import time

_LOOKS = 3


class Silence:
    """The time since the last new sign of life, as far as this side has looked for one.

    A process that did not run for a while itself (stopped, or starved on a machine under load) has
    heard nothing in that time and knows nothing: so a few looks in vain are wanted beside the time.
    """

    def __init__(self) -> None:
        self._sign: int | None = None
        self._since = time.monotonic()
        self._looks = 0

    def look(self, sign: int | None) -> None:
        """Take note of what was seen: a number that rises, or None where nothing was."""
        if sign is None or sign == self._sign:
            self._looks += 1
        else:
            self._sign, self._since, self._looks = sign, time.monotonic(), 0

    def is_longer_than(self, seconds: float) -> bool:
        """Tell whether the other side is to be taken for dead."""
        return self._looks >= _LOOKS and time.monotonic() - self._since > seconds
