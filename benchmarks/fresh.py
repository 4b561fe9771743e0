"""Work in fresh processes, whose memory and maps hold nothing of this one's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of a module in one new process, and return what it returns."""
    with _pool(1) as pool:
        return pool.submit(function, *args, **kwargs).result()


def in_fresh_processes(count: int, function: Callable[..., T], *args: Any) -> list[T]:
    """Call it in several at once, each given its number first."""
    with _pool(count) as pool:
        futures = [pool.submit(function, number, *args) for number in range(count)]
        return [future.result() for future in futures]


def memory_mb(field: str) -> float:
    """Return a field of this process's status: `RssAnon`, private memory, or `VmHWM`, the peak.

    Not `ru_maxrss`, which a new process inherits from the one that started it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"/proc/self/status: expected a line {field}")


def _pool(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))
