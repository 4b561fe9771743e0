"""Calls to the operating system that Python does not offer, each done without where it is missing.

A file is mapped without a descriptor that stays open, as `mmap.mmap` keeps one until 3.13: a store
has up to a thousand shards and a training run several stores, each in many workers, and a
descriptor a shard would pass the usual limit of 1,024.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.files.disk import NOT_OFFERED, named, path_of

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,  # off_t, on the 64-bit systems that torch runs on
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_FAILED = ctypes.c_void_p(-1).value
_NOT_SHARED = NOT_OFFERED | {errno.ENODEV}
# of Linux, which Python's modules lack
_POPULATE_READ, _POPULATE_WRITE = 22, 23  # MADV_POPULATE_READ and _WRITE, since 5.14
_EHWPOISON = 133
_AT_FDCWD = -100  # paths are as the process sees them
_RENAME_EXCHANGE = 2
_SYNC_WRITE = 2  # SYNC_FILE_RANGE_WRITE: begin to write dirty pages, wait for none
_DONTCACHE = 0x80  # RWF_DONTCACHE, since 6.14
_NO_EXCHANGE = frozenset([errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM])


def map_file(descriptor: int, num_bytes: int) -> npt.NDArray[np.uint8]:
    """Map the first bytes of an open file, read-only; arrays that view them keep the map alive.

    Raises:
        OSError: the system refuses; with the path.
    """
    return np.asarray(_Mapping(descriptor, num_bytes))


class _Mapping:
    def __init__(self, descriptor: int, num_bytes: int) -> None:
        self._size = num_bytes
        self._munmap = _libc.munmap  # at interpreter exit the module may be gone before the map
        self._address = None
        # some user-space file systems refuse maps that are shared, which read alike
        for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
            address = _libc.mmap(None, num_bytes, mmap.PROT_READ, flags, descriptor, 0)
            if address != _FAILED:
                self._address = address
                return
            number = ctypes.get_errno()
            if number not in _NOT_SHARED:
                break
        raise named(OSError(number, os.strerror(number)), path_of(descriptor), "mapping")

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3,
            "data": (self._address, True),
            "shape": (self._size,),
            "typestr": "|u1",
        }

    def __del__(self) -> None:
        if self._address is not None:
            self._munmap(self._address, self._size)


def populate(mapped: npt.NDArray[Any]) -> bool:
    """Make a part of a map present at once: one call costs less than the page faults of reads.

    Returns:
        Whether it can be read: touching what a disk does not give, or what was cut off since it was
        mapped, is a SIGBUS. Where the system does not know how to tell, it stays as it is: true.
    """
    if sys.platform != "linux" or not mapped.nbytes:
        return True
    address = mapped.ctypes.data
    start = address - address % mmap.PAGESIZE
    if _libc.madvise(start, address + mapped.nbytes - start, _POPULATE_READ) == 0:
        return True
    return ctypes.get_errno() not in (errno.EFAULT, _EHWPOISON)


def populate_new(memory: npt.NDArray[np.uint8]) -> None:
    """Touch whole pages of new memory in one call, which costs less than a fault of each.

    Where the system does not know how, nothing happens: they are touched when they are used.
    """
    if sys.platform == "linux":
        _libc.madvise(memory.ctypes.data, memory.nbytes, _POPULATE_WRITE)


def exchange(one: Path, other: Path) -> bool:
    """Exchange what is at two paths in one step; false where the system cannot: nothing was done.

    Linux can since 3.15, on most local disks; network file systems often cannot.

    Raises:
        OSError: one of them is not there, or the disk fails.
    """
    if sys.platform != "linux" or not hasattr(_libc, "renameat2"):
        return False
    paths = [os.fsencode(path) for path in (one, other)]
    if _libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], ctypes.c_uint(_RENAME_EXCHANGE)):
        number = ctypes.get_errno()
        if number in _NO_EXCHANGE:
            return False
        raise OSError(number, os.strerror(number), str(one), None, str(other))
    return True


def start_writeback(descriptor: int, start: int, num_bytes: int) -> None:
    """Tell the system to send bytes of an open file to the disk now, so that `fsync` waits less.

    It promises nothing, `fsync` must follow; where the system does not know how, nothing happens.
    """
    if sys.platform == "linux":
        offset, length = ctypes.c_int64(start), ctypes.c_int64(num_bytes)
        _libc.sync_file_range(descriptor, offset, length, ctypes.c_uint(_SYNC_WRITE))


def write_past_cache(descriptor: int, data: memoryview, start: int) -> int:
    """Write to an open file as `os.pwrite` does, and have no page of it stay in memory.

    The disk begins with the pages at once, and they go when it has them. It promises nothing:
    `fsync` must follow.

    Returns:
        How many bytes it took.

    Raises:
        OSError: the disk is full, or fails, or (`NOT_OFFERED`) the system does not know how.
    """
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    try:
        return os.pwritev(descriptor, [data], start, _DONTCACHE)
    except NotImplementedError as error:  # Python was built without flags
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP)) from error
