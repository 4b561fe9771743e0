"""Retries of reads that fail for a while, as on a busy network disk."""

from __future__ import annotations

import logging
import time
from pathlib import Path

_log = logging.getLogger(__name__)

_WAITS_S = (1.0, 5.0, 25.0)  # before a read is tried again


class ReadPatience:
    """Retry budget of one read: three waits, half a minute in all.

    Args:
        what: is read.
    """

    def __init__(self, what: str | Path) -> None:
        self._what = what
        self._waits_s = iter(_WAITS_S)

    def wait(self, error: OSError) -> None:
        """Wait before a failed read is tried again.

        Raises:
            OSError: the error itself, where there is no patience left.
        """
        wait_s = next(self._waits_s, None)
        if wait_s is None:
            raise error
        _log.warning("%s: %s; trying again in %g s", self._what, error, wait_s)
        time.sleep(wait_s)
