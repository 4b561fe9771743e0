"""Map a file into memory without keeping a descriptor open, as `mmap.mmap` does until 3.13.

A store has up to a thousand shards and a training run several stores, each in many workers: a
descriptor a shard would pass the usual limit of 1,024.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
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
_POPULATE_READ = 22  # MADV_POPULATE_READ of Linux 5.14 and later
_NOT_SHARED = NOT_OFFERED | {errno.ENODEV}
_EHWPOISON = 133  # of Linux, which Python's errno lacks
_FAILED = ctypes.c_void_p(-1).value


def map_file(descriptor: int, num_bytes: int) -> npt.NDArray[np.uint8]:
    """Map the first bytes of an open file, read-only; arrays that view them keep the map alive.

    Raises:
        OSError: the system refuses; with the path.
    """
    return np.asarray(_Mapping(descriptor, num_bytes))


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
