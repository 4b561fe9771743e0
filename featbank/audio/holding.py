"""Copies in memory of files that are scanned, so that their bytes are read once."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

from featbank.audio.memory import MemoryReader, memory_file

_MOST_BYTES = 64 << 20
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An open file, or its copy in memory, with its SHA-256.

    Args:
        file: itself, or a copy in memory.
        sha256: of all its bytes; empty where they were not all read, for there are too many.
    """

    file: BufferedReader[Any]
    sha256: str = ""


@contextmanager
def hold(file: BufferedReader) -> Iterator[Held]:
    """Copy an open file into memory, where it is small enough; and close it in the end.

    What is hashed is then what is decoded, whoever writes to the file meanwhile.

    Raises:
        OSError: a read failed.
    """
    with file:
        if isinstance(file, MemoryReader):
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            yield Held(file=file, sha256=sha256)
            return
        memory = _memory(file)
        if memory is None:
            yield Held(file=file)
            return
        with io.FileIO(memory, "r+") as copy:
            hashed = hashlib.sha256()
            file.seek(0)
            while piece := file.read(_PIECE):
                hashed.update(piece)
                if not _write(copy, piece):  # over a limit: the file itself does as well
                    file.seek(0)
                    yield Held(file=file)
                    return
            file.close()
            copy.seek(0)
            with io.BufferedReader(copy) as again:
                yield Held(file=again, sha256=hashed.hexdigest())


def _write(copy: io.FileIO, piece: bytes) -> bool:
    """Write bytes to the copy; tell whether the machine takes them."""
    left = memoryview(piece)
    try:
        while left:
            left = left[copy.write(left) :]
    except OSError:
        return False
    return True


def _memory(file: BufferedReader) -> int | None:
    """Return the descriptor of an empty file in memory; None where the file itself does as well."""
    return None if os.fstat(file.fileno()).st_size > _MOST_BYTES else memory_file()
