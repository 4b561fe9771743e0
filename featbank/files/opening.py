"""Opening files that anybody may have put there: regular ones, of a size that is sane to read.

A pipe, a device or a socket in a file's place would hang its reader or fill the memory; a folder
is no file either. All are an `OSError` that names the path, as what `open` finds wrong is.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from featbank.files.disk import named

MAX_LINE = 16 << 20
"""Bytes of a line, in a file of lines that may be of any length."""

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


class NotAFileError(OSError):
    """What stands where a regular file should: a folder, a pipe, a socket or a device."""


class TooLargeError(OSError):
    """A file of more bytes than what it should be can have."""


def open_regular(path: str | Path) -> BufferedReader:
    """Open a file to read its bytes, without ever waiting for what is no regular file.

    Returns:
        The open file, which the caller closes.

    Raises:
        NotAFileError: it is none.
        OSError: as of `open`; EINVAL for a path with a null character or half a surrogate pair.
    """
    try:
        # a pipe would block on opening without O_NONBLOCK, which changes nothing for a file
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"no path: {error}", os.fspath(path)) from error
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _not_a_file("a socket", path) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _not_a_file(next((kind for is_, kind in _KINDS if is_(mode)), "a device"), path)
    # by its name, for errors to say it, and yet this very file
    return BufferedReader(_NamedFile(path, opener=lambda _path, _flags: descriptor))


class _NamedFile(io.FileIO):
    """A file whose reads name it when they fail."""

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise named(error, self._path, "reading") from error

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise named(error, self._path, "reading") from error

    @property
    def _path(self) -> str:
        return os.fsdecode(self.name)


def read_regular(path: str | Path, max_bytes: int) -> bytes:
    """Return the bytes of a regular file that holds no more than `max_bytes`.

    Raises:
        TooLargeError: it holds more.
        NotAFileError, OSError: as of `open_regular`.
    """
    with open_regular(path) as file:
        # asked before reading, and held while reading: files of /proc state no size
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > max_bytes else file.read(max_bytes + 1)
    size = max(size, len(data))
    if size > max_bytes:
        raise TooLargeError(errno.EFBIG, f"{size} bytes or more, over {max_bytes}", os.fspath(path))
    return data


def instead_of_file(path: str | Path) -> str | None:
    """Say in words what stands where a regular file should; None where one stands."""
    try:
        open_regular(path).close()
    except FileNotFoundError:
        return "a link to nowhere" if Path(path).is_symlink() else "nothing there"
    except OSError as error:
        return error.strerror
    return None


def bounded_lines(file: BufferedReader, max_bytes: int = MAX_LINE) -> Iterator[bytes]:
    """Give the lines of an open file, each with its newline, as iterating over the file would.

    Raises:
        TooLargeError: a line holds more than `max_bytes`.
    """
    while line := file.readline(max_bytes):
        if len(line) == max_bytes and not line.endswith(b"\n"):
            raise TooLargeError(errno.EFBIG, f"a line of over {max_bytes} bytes", file.name)
        yield line


def _not_a_file(kind: str, path: str | Path) -> NotAFileError:
    number = errno.EISDIR if kind == "a folder" else errno.EINVAL
    return NotAFileError(number, kind, os.fspath(path))
