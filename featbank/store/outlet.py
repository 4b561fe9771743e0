"""Send the stored bytes of a large file to the disk, and not by way of the cache of files."""

from __future__ import annotations

import numpy as np

from featbank.files.disk import NOT_OFFERED
from featbank.store.blocks import BLOCK_BYTES, Array, give_block, take_block
from featbank.store.platform import start_writeback, write_past_cache
from featbank.store.raw_file import write_at

_ENOUGH_BYTES = 1 << 20  # for a write of its own


class Outlet:
    """Writes bytes to their places in one open file, pieces that meet in one write.

    The disk begins with each write at once, so that `fsync` waits less, and what it has is not
    kept in memory, which would cost more than the write does. Where the system cannot do that
    (Linux can since 6.14, on local disks), the cache of files takes it, as ever.

    An error of the disk may be about bytes that were taken before; these are kept, and written
    with the next ones, or by `flush`, or not at all and with an error.
    """

    def __init__(self, descriptor: int) -> None:
        """Write to an open file, which stays the caller's."""
        self._descriptor = descriptor
        self._is_past_cache = True
        self._block: Array | None = None  # from the first small piece on
        self._start = 0  # in the file, of what the block holds
        self._filled = 0

    def write(self, start: int, data: memoryview) -> None:
        """Take bytes.

        Args:
            start: where they belong in the file.
            data: of bytes; may be changed afterwards.

        Raises:
            OSError: the disk is full, or fails; with the path.
        """
        size = data.nbytes
        is_next = start == self._start + self._filled
        if not is_next or self._filled + size > BLOCK_BYTES or size >= _ENOUGH_BYTES:
            self.flush()
        if size >= _ENOUGH_BYTES:
            self._put(start, data)
            return
        if self._block is None:
            self._block = take_block()
        if not self._filled:
            self._start = start
        # NumPy lets other threads run while it copies
        self._block[self._filled : self._filled + size] = np.frombuffer(data, np.uint8)
        self._filled += size

    def flush(self) -> None:
        """Write what was taken.

        Raises:
            OSError: the disk is full, or fails; with the path.
        """
        if self._filled:
            assert self._block is not None
            self._put(self._start, self._block[: self._filled].data)
            self._start, self._filled = self._start + self._filled, 0

    def close(self) -> None:
        """Let go of what was taken and is not written."""
        self._filled = 0
        if self._block is not None:
            give_block(self._block)
            self._block = None

    def _put(self, start: int, data: memoryview) -> None:
        for first in range(0, data.nbytes, BLOCK_BYTES):
            self._put_piece(start + first, data[first : first + BLOCK_BYTES])

    def _put_piece(self, start: int, data: memoryview) -> None:
        if self._is_past_cache:
            try:
                write_at(self._descriptor, data, start, write_past_cache)
            except OSError as error:
                if error.errno not in NOT_OFFERED:
                    raise
                self._is_past_cache = False
            else:
                return
        write_at(self._descriptor, data, start)
        start_writeback(self._descriptor, start, data.nbytes)
