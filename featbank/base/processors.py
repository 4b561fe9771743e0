"""Number of processors that a process may use."""

from __future__ import annotations

import os


def usable_processors() -> int:
    """Return how many processors this process may use, as far as the system tells."""
    try:
        return len(os.sched_getaffinity(0)) or 1
    except (AttributeError, OSError):  # macOS has no such call, some sandboxes refuse it
        return os.cpu_count() or 1
