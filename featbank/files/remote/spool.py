"""Files of other machines, fetched whole, and kept for a while: many segments are of one file.

So is a part of a file, such as a member of a tar, which is a file of its own then. What has up to
16 MB is kept in memory, and what is larger in a file without a name in `TMPDIR`: when the process
ends, however it does, nothing of it is left. Each opening asks for the file's state, and fetches it
anew where that has changed.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
import threading
from collections.abc import Iterable
from io import BufferedReader
from typing import IO, NamedTuple

from featbank.files.opening import open_regular
from featbank.files.remote.faults import RemoteError
from featbank.files.remote.paths import RemotePath, is_remote
from featbank.files.remote.requests import RemoteStat, read_remote, stat_remote

_IN_MEMORY_BYTES = 16 << 20
_PIECE = 16 << 20  # bytes of a request
_PIECES_AT_ONCE = 8  # of all threads: 128 MB in flight
_KEPT_FILES, _KEPT_BYTES = 16, 1 << 30
_OPENS_AGAIN = os.path.isdir("/proc/self/fd")  # noqa: PTH112 - a file without a name, as Linux has it
_ROUNDS = 3  # of a file that is written to while it is fetched


class FilePart(NamedTuple):
    """A part of a file: its first byte, and the one behind its last."""

    start: int
    end: int


class _Fetched(NamedTuple):
    path: RemotePath
    stat: RemoteStat
    part: FilePart
    file: IO[bytes]

    @property
    def num_bytes(self) -> int:
        return self.part.end - self.part.start


class _Spool:
    """The files that were fetched last, the latest last."""

    def __init__(self) -> None:
        self.in_flight = threading.BoundedSemaphore(_PIECES_AT_ONCE)
        self._lock = threading.Lock()
        self._kept: list[_Fetched] = []

    def find(self, path: RemotePath, stat: RemoteStat, part: FilePart) -> BufferedReader | None:
        """Open what is kept of a file in this state."""
        with self._lock:
            for place, one in enumerate(self._kept):
                if one[:3] == (path, stat, part) and stat.is_a_state:
                    self._kept.append(self._kept.pop(place))
                    return _again(one.file)
        return None

    def keep(self, fetched: _Fetched) -> BufferedReader:
        """Keep a file, let others go where they are too many or too large, and open it."""
        if not _OPENS_AGAIN:
            with fetched.file as file:
                os.lseek(file.fileno(), 0, os.SEEK_SET)
                return BufferedReader(io.FileIO(os.dup(file.fileno())))
        with self._lock:
            self._close(one for one in self._kept if _is_replaced(one, fetched))
            self._kept.append(fetched)
            while len(self._kept) > 1 and (
                len(self._kept) > _KEPT_FILES
                or sum(one.num_bytes for one in self._kept) > _KEPT_BYTES
            ):
                self._close(self._kept[:1])
            return _again(fetched.file)

    def close(self) -> None:
        """Let all go; in a forked child too, whose parent may hold the lock."""
        self._close(self._kept)

    def _close(self, some: Iterable[_Fetched]) -> None:
        for one in list(some):
            one.file.close()
            self._kept.remove(one)


_SPOOL = _Spool()


def open_any(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a file to read its bytes, wherever it lies: `open_regular`, or `open_remote` of a URL.

    Raises:
        OSError: as of these.
    """
    return open_remote(RemotePath(path)) if is_remote(path) else open_regular(os.fspath(path))


def open_remote(path: RemotePath, part: FilePart | None = None) -> BufferedReader:
    """Fetch a file whole, unless it is kept in the state that it has now, and open it.

    Args:
        path: of the file.
        part: the part to fetch, which is opened as a file of its own, and ends where the file does;
            None for all of it.

    Raises:
        FileNotFoundError: there is none.
        RemoteError: it could not be fetched whole.
    """
    stat = stat_remote(path)
    for _ in range(_ROUNDS):
        wanted = _within(part, stat)
        if found := _SPOOL.find(path, stat, wanted):
            return found
        try:
            file = _fetch(path, stat, wanted)
        except RemoteError:
            if stat == (now := stat_remote(path)):
                raise
        else:
            # what came in one piece is of one state, whichever it was
            if wanted.end - wanted.start <= _PIECE or stat == (now := stat_remote(path)):
                return _SPOOL.keep(_Fetched(path, stat, wanted, file))
            file.close()
        stat = now
    raise RemoteError(errno.EIO, "it is written to, again and again, while it is read", str(path))


def close_spool() -> None:
    """Let go of the files that were fetched."""
    _SPOOL.close()


def _within(part: FilePart | None, stat: RemoteStat) -> FilePart:
    if part is None:
        return FilePart(0, stat.num_bytes)
    return FilePart(min(part.start, stat.num_bytes), min(part.end, stat.num_bytes))


def _is_replaced(one: _Fetched, by: _Fetched) -> bool:
    return one.path == by.path and (one.stat != by.stat or one.part == by.part)


def _fetch(path: RemotePath, stat: RemoteStat, part: FilePart) -> IO[bytes]:
    file = _room(part.end - part.start)
    try:
        for start in range(part.start, part.end, _PIECE):
            end = min(start + _PIECE, part.end)
            with _SPOOL.in_flight:
                file.write(read_remote(path, start, end, stat.num_bytes))
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _room(num_bytes: int) -> IO[bytes]:
    """Return an empty file that vanishes when it is closed."""
    if num_bytes <= _IN_MEMORY_BYTES and hasattr(os, "memfd_create"):
        return io.BufferedRandom(io.FileIO(os.memfd_create("fetched"), "r+"))
    return tempfile.TemporaryFile()


def _again(file: IO[bytes]) -> BufferedReader:
    """Open a file without a name a second time, with a place of its own to read at."""
    return open_regular(f"/proc/self/fd/{file.fileno()}")


def _forget() -> None:
    """Leave all to the process that this one was forked from, whoever held the lock there."""
    global _SPOOL
    _SPOOL.close()
    _SPOOL = _Spool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
