"""Read and write at stated places of a file: no offset or buffer that a forked child could share.

A buffered file flushes what it holds when its object ends, in a child too, at an offset that parent
and child have in common; what stands here does nothing until it is asked to.
"""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

from featbank.errors import StoreError
from featbank.files.disk import named, path_of

_BUFFER_BYTES = 1 << 20


def write_at(
    descriptor: int,
    data: memoryview,
    start: int,
    write: Callable[[int, memoryview, int], int] = os.pwrite,
) -> None:
    """Write all bytes to an open file, from `start` on.

    Args:
        descriptor: of the file.
        data: of bytes.
        start: where they belong.
        write: takes some of them, as `os.pwrite` does.

    Raises:
        OSError: the disk is full, or fails; with the path.
    """
    written = 0
    while written < len(data):  # one call takes at most 2 GiB
        try:
            count = write(descriptor, data[written:], start + written)
        except OSError as error:
            raise named(error, path_of(descriptor), "writing") from error
        if not count:
            fault = OSError(errno.EIO, f"no byte taken of {len(data) - written}")
            raise named(fault, path_of(descriptor), "writing")
        written += count


def read_into(descriptor: int, buffer: memoryview, start: int) -> None:
    """Fill a buffer with the bytes of an open file from `start` on.

    Raises:
        StoreError: the file ends before.
        OSError: the disk fails; with the path.
    """
    read = 0
    while read < len(buffer):
        try:
            count = os.preadv(descriptor, [buffer[read:]], start + read)
        except OSError as error:
            raise named(error, path_of(descriptor), "reading") from error
        if not count:
            raise StoreError(f"byte {start + read}", expected="more of the file", got="its end")
        read += count


class ScratchFile:
    """An unnamed file that only grows, for values that wait; it is gone with its last descriptor.

    Attributes:
        size: bytes that were added.
    """

    def __init__(self, folder: Path) -> None:
        """Make it in a folder, on whose disk it then takes room."""
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            descriptor = os.dup(file.fileno())
        self.size = 0
        self._descriptor = descriptor
        self._buffer = bytearray()
        self._close = weakref.finalize(self, os.close, descriptor)

    def append(self, data: memoryview) -> None:
        """Add bytes at the end."""
        if len(self._buffer) + data.nbytes > _BUFFER_BYTES:
            self.flush()
        if data.nbytes < _BUFFER_BYTES:
            self._buffer += data
        else:
            write_at(self._descriptor, data, self.size)
        self.size += data.nbytes

    def flush(self) -> None:
        """Hand over what was added, so that it can be read."""
        if self._buffer:
            write_at(self._descriptor, memoryview(self._buffer), self.size - len(self._buffer))
            self._buffer = bytearray()

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fill a buffer with the bytes from `start` on, which `flush` has handed over."""
        read_into(self._descriptor, buffer, start)

    def close(self) -> None:
        """Let go of it; what it holds is lost."""
        self._close()
