"""A file elsewhere that is read as one that is open here, by ranges of its bytes."""

from __future__ import annotations

import io
from typing import Any

from featbank.store.remote.client import RemoteClient
from featbank.store.remote.ranges import ByteRange

_STEP_BYTES = 1 << 20
_BLOCKS = 4  # that are kept


class RangedFile(io.RawIOBase):
    """A file of which as much is fetched as is read, a MiB at a time.

    Args:
        client: reads it.
        name: of the file, as the client's place knows it.
        num_bytes: its size.
        head: its first bytes, where they are here already.
    """

    def __init__(self, client: RemoteClient, name: str, num_bytes: int, head: bytes = b"") -> None:
        super().__init__()
        self._client = client
        self._name = name
        self._num_bytes = num_bytes
        self._head = head
        self._blocks: dict[int, bytes] = {}
        self._position = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that reads may begin anywhere."""
        return True

    def tell(self) -> int:
        """Return the byte at which the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Have the next read begin at another byte."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._num_bytes}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes, as many as are at hand by one request.

        Raises:
            StoreError: they cannot be had.
        """
        view = memoryview(buffer).cast("B")
        data, start = self._at(self._position)
        some = memoryview(data)[start : start + len(view)]
        view[: len(some)] = some
        self._position += len(some)
        return len(some)

    def _at(self, position: int) -> tuple[bytes, int]:
        """Return bytes that hold those at a position, and where in them they begin."""
        if position >= self._num_bytes:
            return b"", 0
        if position < len(self._head):
            return self._head, position
        number = position // _STEP_BYTES
        if number not in self._blocks:
            while len(self._blocks) >= _BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            start = number * _STEP_BYTES
            stop = min(self._num_bytes, start + _STEP_BYTES)
            self._blocks[number] = self._client.fetch_one(
                ByteRange(name=self._name, start=start, stop=stop)
            )
        return self._blocks[number], position - number * _STEP_BYTES
