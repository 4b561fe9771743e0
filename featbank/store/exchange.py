"""Exchange two folders in one step, so that there is one of them at each path at any time."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100  # paths are as the process sees them
_RENAME_EXCHANGE = 2
_UNKNOWN = frozenset([errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM])
_libc = ctypes.CDLL(None, use_errno=True)


def exchange(one: Path, other: Path) -> bool:
    """Exchange what is at two paths; return False where the system cannot, and nothing was done.

    Linux can since 3.15, on most local disks; network file systems often cannot.

    Raises:
        OSError: one of them is not there, or the disk fails.
    """
    if sys.platform != "linux" or not hasattr(_libc, "renameat2"):
        return False
    paths = [os.fsencode(path) for path in (one, other)]
    if _libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], ctypes.c_uint(_RENAME_EXCHANGE)):
        number = ctypes.get_errno()
        if number in _UNKNOWN:
            return False
        raise OSError(number, os.strerror(number), str(one), None, str(other))
    return True
