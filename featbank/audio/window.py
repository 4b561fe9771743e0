"""View of an open file for libsndfile: a range of its bytes, some of them patched."""

from __future__ import annotations

import os

from featbank.files.disk import named, path_of


class FileWindow:
    """A file object over bytes `start` to `stop` of an open file, for soundfile to read.

    Args:
        descriptor: of the open file.
        start, stop: first byte, and the one behind the last.
        mended: bytes to be read at these places of the file instead of those that are there.
    """

    def __init__(
        self, descriptor: int, start: int, stop: int, mended: tuple[tuple[int, bytes], ...] = ()
    ) -> None:
        self.descriptor = descriptor
        self.error: OSError | None = None
        self._start, self._stop, self._mended = start, stop, mended
        self._at = start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte, counted as `os.lseek` does; return where that is."""
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._at, os.SEEK_END: self._stop}[whence]
        self._at = max(self._start, base + offset)
        return self.tell()

    def tell(self) -> int:
        """Return the position in the window."""
        return self._at - self._start

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, fewer than `size` only at the end."""
        buffer = bytearray(max(0, self._stop - self._at) if size < 0 else size)
        return bytes(buffer[: self.readinto(buffer)])

    def readinto(self, buffer: bytearray) -> int:
        """Fill a buffer with the next bytes; return how many there were.

        A failed read is the end, as nothing may be raised through libsndfile; `error` tells it.
        """
        view = memoryview(buffer)[: max(0, self._stop - self._at)]
        done = 0
        try:
            while done < len(view) and (
                count := os.preadv(self.descriptor, [view[done:]], self._at + done)
            ):
                done += count
        except OSError as error:
            self.error = named(error, path_of(self.descriptor), "reading")
        for place, right in self._mended:
            for at, byte in enumerate(right, place - self._at):
                if 0 <= at < done:
                    view[at] = byte
        self._at += done
        return done
