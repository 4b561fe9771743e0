"""What is asked of a disk: an error names the file, and what a disk need not offer is no error."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOT_OFFERED = frozenset([errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP])
"""How network and user-space file systems answer a call that they do not have."""

UNTOLD = sys.maxsize
"""Bytes free on a disk that does not tell: any number of bytes may have room there."""

_NO_SYNC_OF_FOLDERS = NOT_OFFERED | {errno.EBADF}  # some sync only what is open for writing


def named(error: OSError, path: str | Path, doing: str) -> OSError:
    """Return an error of the system with the file that it is about, unless it names one.

    Calls on open files, such as `os.pwrite`, `os.fsync` and `file.read`, raise errors without.

    Args:
        error: as the call raised it.
        path: of the file.
        doing: what failed: `writing`, `syncing to disk`.

    Returns:
        One of the same number, and so of the same class.

    >>> named(OSError(5, "Input/output error"), "a.h5", "writing")
    OSError(5, 'Input/output error while writing')
    >>> print(named(OSError(5, "Input/output error"), "a.h5", "writing"))
    [Errno 5] Input/output error while writing: 'a.h5'
    """
    if error.filename is not None:
        return error
    if error.errno is None:  # a library's own
        return OSError(f"{path}: {error}")
    return OSError(error.errno, f"{error.strerror} while {doing}", str(path))


def path_of(descriptor: int) -> str:
    """Return the path of an open file where the system tells it, for errors; else its number."""
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return f"open file {descriptor}"


def read_at(descriptor: int, num_bytes: int, start: int) -> bytes:
    """Return bytes of an open file from `start` on, fewer at its end.

    Raises:
        OSError: the read failed; with the path.
    """
    try:
        return os.pread(descriptor, num_bytes, start)
    except OSError as error:
        raise named(error, path_of(descriptor), "reading") from error


@contextmanager
def naming(path: str | Path, doing: str) -> Iterator[None]:
    """Have errors of the system in a block name the file that they are about; see `named`."""
    try:
        yield
    except OSError as error:
        if (better := named(error, path, doing)) is error:
            raise
        raise better from error


def fsync_file(descriptor: int, path: str | Path) -> None:
    """Wait until the disk has what was written to an open file, where it can be asked to.

    Raises:
        OSError: it could not take all of it; with the path.
    """
    _sync(descriptor, path, NOT_OFFERED)


def fsync_folder(path: str | Path) -> None:
    """Make the names in a folder durable (a rename is not, until its folder is synced).

    Some file systems refuse to, and a rename is as durable there as they make it.

    Raises:
        OSError: the disk failed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync(descriptor, path, _NO_SYNC_OF_FOLDERS)
    finally:
        os.close(descriptor)


def _sync(descriptor: int, path: str | Path, not_offered: frozenset[int]) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in not_offered:
            raise named(error, path, "syncing to disk") from error


def free_bytes(folder: Path) -> int:
    """Return what the disk has free at a folder that may not be there yet.

    Buckets that are mounted as disks tell nothing: `UNTOLD` then.
    """
    try:
        usage = shutil.disk_usage(existing_folder(folder))
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
        return UNTOLD
    return usage.free if usage.total else UNTOLD


def existing_folder(path: Path) -> Path:
    """Return a place, or the nearest folder above it that is there."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())
