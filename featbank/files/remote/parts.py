"""Files that are read in parts, wherever they lie: archives of which headers alone are wanted."""

from __future__ import annotations

import errno
import io
import os
from collections import OrderedDict
from io import BufferedReader
from typing import Any

from featbank.files.disk import read_at
from featbank.files.opening import TooLargeError, open_regular, read_regular
from featbank.files.remote.faults import RemoteError
from featbank.files.remote.paths import AnyPath, RemotePath, is_remote
from featbank.files.remote.requests import read_remote, stat_remote

_BLOCK = 4 << 20  # bytes of a request: at 50 ms each, 80 MB/s of what is read from end to end
_KEPT_BLOCKS = 2  # one that headers are read of, and one of the texts before them
_PIECE = 16 << 20  # of what is larger than a block


def open_parts(path: str | AnyPath) -> BufferedReader:
    """Open a file of which parts are to be read, by `read_part` or in a row.

    Of one of another machine, no more is fetched than the 4 MB around what is read.

    Returns:
        The open file, which the caller closes; it has a descriptor on this machine alone.

    Raises:
        FileNotFoundError: there is none.
        OSError: as of `open_regular`; a `RemoteError` is that of a server.
    """
    if not is_remote(path):
        return open_regular(os.fspath(path))
    return BufferedReader(_Parts(RemotePath(path)))


def read_part(file: BufferedReader, num_bytes: int, start: int) -> bytes:
    """Return bytes of a file of `open_parts` from `start` on, fewer at its end.

    Raises:
        OSError: the read failed; with the path.
    """
    if not isinstance(file.raw, _Parts):
        return read_at(file.fileno(), num_bytes, start)
    file.seek(start)
    return file.read(num_bytes)


def size_of(file: BufferedReader) -> int:
    """Return the bytes of a file of `open_parts`."""
    return file.raw.num_bytes if isinstance(file.raw, _Parts) else os.fstat(file.fileno()).st_size


def read_any(path: str | AnyPath, max_bytes: int) -> bytes:
    """Return the bytes of a file that holds no more than `max_bytes`, wherever it lies.

    Raises:
        TooLargeError: it holds more.
        OSError: as of `open_parts`.
    """
    if not is_remote(path):
        return read_regular(os.fspath(path), max_bytes)
    with open_parts(path) as file:
        if (size := size_of(file)) > max_bytes:
            raise TooLargeError(errno.EFBIG, f"{size} bytes, over {max_bytes}", os.fspath(path))
        return file.read()


class _Parts(io.RawIOBase):
    """A file of another machine, read a block at a time, all of one state of it.

    Raises:
        FileNotFoundError: there is none.
        RemoteError: it cannot be asked for, or when it is read has been written to.
    """

    def __init__(self, path: RemotePath) -> None:
        self._path = path
        self._stat = stat_remote(path)
        self.num_bytes = self._stat.num_bytes
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.num_bytes}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self.num_bytes - self._at)
        if wanted <= 0:
            return 0
        if wanted >= _BLOCK:
            data = self._read(self._at, self._at + min(wanted, _PIECE))
        else:
            number, offset = divmod(self._at, _BLOCK)
            data = self._block(number)[offset : offset + wanted]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        start = number * _BLOCK
        block = self._blocks[number] = self._read(start, min(start + _BLOCK, self.num_bytes))
        if len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return block

    def _read(self, start: int, end: int) -> bytes:
        data = read_remote(self._path, start, end, self.num_bytes)
        if stat_remote(self._path) != self._stat:  # else parts of two files are taken for one
            raise RemoteError(errno.EIO, "it is written to while it is read", str(self._path))
        return data
