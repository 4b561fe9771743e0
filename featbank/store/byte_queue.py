"""Bytes that wait, in blocks of memory that are used again and again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_BLOCK_BYTES = 1 << 25  # NumPy asks for huge pages for blocks of this size, which fill faster


class ByteQueue:
    """First in, first out. A growing `bytearray` would move, and fault in its pages anew."""

    def __init__(self) -> None:
        self._blocks: deque[npt.NDArray[np.uint8]] = deque()
        self._unused: list[npt.NDArray[np.uint8]] = []
        self._start = 0  # in the first block
        self._size = 0

    def __len__(self) -> int:
        """Return the number of bytes."""
        return self._size

    def append(self, data: npt.NDArray[np.uint8]) -> None:
        """Add bytes at the end, copied."""
        done, size = 0, len(data)
        while done < size:
            at = (self._start + self._size) % _BLOCK_BYTES
            if self._start + self._size == len(self._blocks) * _BLOCK_BYTES:
                block = self._unused.pop() if self._unused else np.empty(_BLOCK_BYTES, np.uint8)
                self._blocks.append(block)
            count = min(size - done, _BLOCK_BYTES - at)
            self._blocks[-1][at : at + count] = data[done : done + count]
            done += count
            self._size += count

    def first(self, num_bytes: int) -> Iterator[memoryview]:
        """Give the first bytes in pieces, which are good until the next change."""
        start = self._start
        for block in self._blocks:
            if num_bytes <= 0:
                return
            stop = min(start + num_bytes, _BLOCK_BYTES)
            yield block[start:stop].data
            num_bytes -= stop - start
            start = 0

    def drop(self, num_bytes: int) -> None:
        """Drop the first bytes."""
        self._start += num_bytes
        self._size -= num_bytes
        while self._blocks and self._start >= _BLOCK_BYTES:
            self._unused.append(self._blocks.popleft())
            self._start -= _BLOCK_BYTES
