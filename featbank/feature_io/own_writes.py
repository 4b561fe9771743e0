"""A file object for HDF5 to write through, whose failures it never sees."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from featbank.files.disk import fsync_file, named, read_at
from featbank.store.own_process import OwnProcess
from featbank.store.raw_file import write_at


class OwnWrites:
    """An open file as h5py takes one in the place of a path.

    HDF5 that fails to write may end in a segmentation fault as it closes the file. It is never
    told: the first error is kept for the writer to raise, and what comes after it stays in memory,
    so that HDF5 finds what it wrote until it is closed. In a forked child nothing is written.

    Attributes:
        error: the first that there was.
    """

    def __init__(self, descriptor: int, path: Path, owner: OwnProcess) -> None:
        """Write to an empty open file, and own its descriptor.

        Args:
            descriptor: open for reading and writing.
            path: of the file.
            owner: the process that may write.
        """
        self.error: OSError | None = None
        self._descriptor = descriptor
        self._path = path
        self._owner = owner
        self._place = self._size = 0
        self._kept: list[tuple[int, bytes]] = []  # what could not be written, and all after it
        # with this object, to which HDF5 holds on until its file is closed: never before that, when
        # the number may have become another file's
        self._close = weakref.finalize(self, os.close, descriptor)
        self._close.atexit = False

    def sync(self) -> None:
        """Wait until the disk has all of it.

        Raises:
            OSError: the disk fails.
        """
        fsync_file(self._descriptor, self._path)

    def close(self) -> None:
        """Close the descriptor; HDF5 has closed its file."""
        self._close()
        self._descriptor = -1

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._place = offset + (self._size if whence == os.SEEK_END else 0)
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def write(self, data: memoryview) -> int:
        """Write at the place."""
        if self._owner.is_here and self.error is None:
            try:
                write_at(self._descriptor, data, self._place)
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._kept.append((self._place, bytes(data)))
        self._place += len(data)
        self._size = max(self._size, self._place)
        return len(data)

    def readinto(self, buffer: memoryview) -> int:
        """Read from the place on; zeros where nothing was written."""
        start, end = self._place, self._place + len(buffer)
        found = b""
        try:
            found = read_at(self._descriptor, len(buffer), start)
        except OSError as error:
            self.error = self.error or error
        buffer[: len(found)] = found
        buffer[len(found) :] = bytes(len(buffer) - len(found))
        for place, data in self._kept:
            first, last = max(place, start), min(place + len(data), end)
            if first < last:
                buffer[first - start : last - start] = data[first - place : last - place]
        self._place = end
        return len(buffer)

    read = readinto
    """h5py takes for a file what has this name."""

    def truncate(self, size: int) -> int:
        """Set the size."""
        if self._owner.is_here and self.error is None:
            try:
                os.ftruncate(self._descriptor, size)
            except OSError as error:
                self.error = named(error, self._path, "sizing")
        self._size = size
        return size

    def flush(self) -> None:
        """Do nothing: each write is handed over at once."""
