"""Cache of checks that read a whole file, valid while its size and times stay the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from io import BufferedReader
from typing import TypeVar

_Found = TypeVar("_Found")
_MOST = 1024  # files; a recording with many segments is opened for each of them
_DOUBTED_NS = 2 * 10**9  # a file changed so lately may change again under the same stamp
_seen: dict[tuple[object, ...], object] = {}


def once(file: BufferedReader, look: Callable[[BufferedReader, int], _Found]) -> _Found:
    """Return `look(file, size)`, from the cache if the file was looked at and is unchanged."""
    now = os.fstat(file.fileno())
    key = (look, now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    if key not in _seen:
        found = look(file, now.st_size)
        if time.time_ns() - now.st_ctime_ns < _DOUBTED_NS:
            return found
        if len(_seen) >= _MOST:
            _seen.clear()
        _seen[key] = found
        return found
    return _seen[key]  # type: ignore[return-value]
