"""Let the disk begin while there is more to come, so that the wait at the end is short."""

from __future__ import annotations

import ctypes
import sys

_START = 2  # SYNC_FILE_RANGE_WRITE: begin to write dirty pages, wait for none
_libc = ctypes.CDLL(None, use_errno=True)


def start_writeback(descriptor: int, start: int, num_bytes: int) -> None:
    """Tell the system to send bytes of an open file to the disk now, not when it must.

    It promises nothing, `fsync` must follow; where the system does not know how, nothing happens.
    """
    if sys.platform == "linux":
        offset, length = ctypes.c_int64(start), ctypes.c_int64(num_bytes)
        _libc.sync_file_range(descriptor, offset, length, ctypes.c_uint(_START))
