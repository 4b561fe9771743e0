"""Writers that publish all they wrote at once, or nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from featbank.errors import StoreError
from featbank.store.own_process import OwnProcess


class PublishingWriter(ABC):
    """Open first, then prepared, at last ended: what is common to all writers.

    A step that stops half way, as on a full disk, leaves it failed: nothing more is taken or
    published then. As a context manager it publishes, or drops everything when the block raised.

    It belongs to the process that began it: a forked child can take, publish and drop nothing.
    """

    _state: Literal["open", "prepared", "failed", "ended"] = "open"

    def __init__(self, what: str) -> None:
        """Begin in this process; errors name the writer as `what`."""
        self._owner = OwnProcess(what)

    @property
    @abstractmethod
    def storage_path(self) -> Path:
        """Where the values can be read once they are published."""

    def prepare(self) -> None:
        """Write what is left and wait until the disk has all of it: `commit` only renames it then.

        Raises:
            StoreError: the disk is full, or the writer has failed or ended.
        """
        self._check_open()
        self._state = "failed"  # until all of it is there
        self._complete()
        self._state = "prepared"

    def commit(self) -> None:
        """Publish what was written, after `prepare` where that was not called.

        Raises:
            StoreError: the disk is full, or the writer has failed or ended. Nothing is published.
        """
        if self._state != "prepared":
            self.prepare()
        self._owner.check()
        self._state = "failed"  # until it has its name
        self._publish()
        self._state = "ended"

    def abort(self) -> None:
        """Drop what was written; after `commit` nothing happens."""
        if self._state != "ended":
            self._state = "ended"
            if self._owner.is_here:
                self._drop()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Publish what was written, or drop it when the block raised."""
        try:
            if kind is None and self._state != "ended":
                self.commit()
        finally:
            self.abort()

    def _check_open(self) -> None:
        self._owner.check()
        if self._state != "open":
            has_failed = self._state == "failed"
            raise StoreError(
                f"writer of {self.storage_path}",
                expected="one that is open",
                got="one that has failed" if has_failed else f"one that is {self._state}",
                hint="what it took is dropped: begin anew"
                if has_failed
                else "what is there is never added to: begin a new writer",
            )

    @abstractmethod
    def _complete(self) -> None:
        """Bring all of it to the disk, under another name."""

    @abstractmethod
    def _publish(self) -> None:
        """Give it its name."""

    @abstractmethod
    def _drop(self) -> None:
        """Remove what is not published."""
