"""Ranges of files as they are asked for, and the bodies that come back, which are measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from featbank.errors import StoreError

_PART_BYTES = 4 << 20
_RANGES = (
    "the server must answer requests for ranges, as nginx, Apache and buckets do; "
    "python -m http.server does not"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """Bytes of one file of a store.

    Args:
        name: of the file, below the store.
        start, stop: of the bytes; `stop` None for all that it holds, which are counted by nobody.
    """

    name: str
    start: int = 0
    stop: int | None = None

    def __str__(self) -> str:
        """Say which, as errors do."""
        return "all of it" if self.stop is None else f"bytes {self.start} to {self.stop}"

    def parts(self) -> Iterator[ByteRange]:
        """Cut it into what one request each may ask for."""
        if self.stop is None:
            yield self
            return
        # equal ones, for the last is waited for
        count = -(-(self.stop - self.start) // _PART_BYTES)
        size = -(-(self.stop - self.start) // max(1, count))
        for start in range(self.start, self.stop, max(1, size)):
            stop = min(self.stop, start + size)
            yield ByteRange(name=self.name, start=start, stop=stop)

    def measure(self, body: bytes) -> None:
        """Refuse a body of another length: libraries give short ones, or whole files, as they come.

        Raises:
            BodyError: it is one.
        """
        if self.stop is None or len(body) == self.stop - self.start:
            return
        wanted = self.stop - self.start
        unheard = len(body) > wanted
        raise BodyError(
            f"{len(body)} bytes instead of {wanted}"
            + (", as if the range was not heard" if unheard else ""),
            hint=_RANGES if unheard else "",
        )


class BodyError(OSError):
    """A body of another length than was asked for; `hint` is what to do if it never comes right."""

    def __init__(self, said: str, hint: str = "") -> None:
        super().__init__(said)
        self.hint = hint


class AbsentError(StoreError):
    """Nothing is there."""


class Bodies:
    """Ranges that were asked for, each in parts.

    Args:
        futures: of the parts of each.
    """

    def __init__(self, futures: list[list[Future[bytes]]]) -> None:
        self._futures = futures
        self._process = os.getpid()

    def wait(self) -> Iterator[bytes | StoreError]:
        """Give the ranges in order, or what is wrong with one; once. Abandoned, it cancels."""
        if self._process != os.getpid():  # no answer would ever come
            raise StoreError(
                "a read that was under way as this process was forked",
                expected=f"to end in process {self._process}",
                got=f"process {os.getpid()}",
                hint="begin it again",
            )
        try:
            for parts in self._futures:
                body: bytes | StoreError
                try:
                    some = [part.result() for part in parts]
                    body = some[0] if len(some) == 1 else b"".join(some)
                except StoreError as error:
                    body = error
                for part in parts:
                    part.cancel()
                parts.clear()  # what is given is kept here no longer
                yield body
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Wait for none of them any more."""
        for parts in self._futures:
            for part in parts:
                part.cancel()
