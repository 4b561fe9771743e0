"""What this process took of the processors: time in user mode and in the system, page faults."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("s", "user s", "sys s", "faults")


@dataclass(slots=True)
class Usage:
    """What a stretch of work took, of all threads of this process.

    Args:
        elapsed_s: by the clock.
        user_s, system_s: of the processors.
        faults: pages that were touched for the first time, or had to be read.
        others: share of the machine's processors that other processes had, or nobody was given; 0
            where the system does not tell.
    """

    elapsed_s: float = 0.0
    user_s: float = 0.0
    system_s: float = 0.0
    faults: int = 0
    others: float = 0.0

    @property
    def cells(self) -> list[float | int]:
        """The values under `COLUMNS`."""
        return [self.elapsed_s, self.user_s, self.system_s, self.faults]

    @property
    def processor_s(self) -> float:
        """In user mode and in the system."""
        return self.user_s + self.system_s


@contextmanager
def measured() -> Iterator[Usage]:
    """Give what the block took, which is there once it has ended."""
    usage = Usage()
    busy_s = _busy_s()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    try:
        yield usage
    finally:
        usage.elapsed_s = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        usage.user_s = after.ru_utime - before.ru_utime
        usage.system_s = after.ru_stime - before.ru_stime
        usage.faults = after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt
        there_s = usage.elapsed_s * (os.cpu_count() or 1)
        usage.others = max(0.0, (_busy_s() - busy_s - usage.processor_s) / there_s)


def _busy_s() -> float:
    """Return the seconds that all processors were at work, or taken away, since the start."""
    try:
        first, *_ = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, soft_irq, steal = map(int, first.split()[1:9])
    return (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")
