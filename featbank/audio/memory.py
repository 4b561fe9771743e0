"""Files in memory, which decoders read as any other."""

from __future__ import annotations

import os
import tempfile
from io import BufferedReader
from typing import Any


class MemoryReader(BufferedReader):
    """An open file that lies in memory and that nobody writes to: there is no need to copy it."""


def memory_file() -> int | None:
    """Return the descriptor of an empty file in memory; None where the machine gives none."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        return os.memfd_create("audio")
    except OSError:
        return None


def memory_or_scratch_file() -> int:
    """Return the descriptor of an empty file in memory, or of one without a name in `TMPDIR`."""
    found = memory_file()
    if found is not None:
        return found
    with tempfile.TemporaryFile(buffering=0) as scratch:
        return os.dup(scratch.fileno())


def write_all(descriptor: int, data: Any) -> None:
    """Write bytes to an open file, all of them.

    Raises:
        OSError: it does not take them.
    """
    left = memoryview(data).cast("B")
    while left:
        left = left[os.write(descriptor, left) :]
