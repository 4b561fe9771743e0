"""Writers that publish all they wrote at once, or nothing."""

from __future__ import annotations

import logging
import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from featbank.errors import StoreError
from featbank.store.own_process import OwnProcess

_logger = logging.getLogger(__name__)


class PublishingWriter(ABC):
    """Open first, then prepared, at last ended or closed: what is common to all writers.

    A step that stops half way, as on a full disk, leaves it failed: nothing more is taken or
    published then. As a context manager it publishes, or drops everything when the block raised;
    without one, `close` does the same. A writer that is let go of without either has published
    nothing, and says so in the log.

    It belongs to the process that began it: a forked child can take, publish and drop nothing.
    """

    _state: Literal["open", "prepared", "failed", "ended", "closed"] = "open"

    def __init__(self, what: str) -> None:
        """Begin in this process; errors name the writer as `what`."""
        self._what = what
        self._handled = sys.exception()  # what was being handled then is not about this writer
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

        What `close` has published needs no more: nothing happens.

        Raises:
            StoreError: the disk is full, or the writer has failed or ended. Nothing is published.
        """
        if self._state == "closed":
            return
        if self._state != "prepared":
            self.prepare()
        self._owner.check()
        self._state = "failed"  # until it has its name
        self._publish()
        self._state = "ended"

    def abort(self) -> None:
        """Drop what was written; after `commit` nothing happens."""
        if self._state not in ("ended", "closed"):
            self._state = "ended"
            if self._owner.is_here:
                self._drop()

    def close(self) -> None:
        """Publish what was written, as the end of a `with` block does; a second call does nothing.

        Called while an exception is under way, as in `finally: writer.close()`, it drops all, for
        what was written may be a part: the log says so. `commit` publishes whatever is under way.

        Raises:
            StoreError: as of `commit`.
        """
        if self._state in ("ended", "closed"):
            return
        error = sys.exception()
        if error is None or error is self._handled:
            try:
                self.commit()
                self._state = "closed"
            finally:
                self.abort()
            return
        _logger.warning(
            "%s: closed while %s is under way, so nothing is published; commit() would publish it",
            self._what,
            type(error).__name__,
        )
        self.abort()

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
            if kind is None and self._state not in ("ended", "closed"):
                self.commit()
        finally:
            self.abort()

    def __del__(self) -> None:
        """Say that what was written is lost; a store or file that was there stays as it is."""
        owner = getattr(self, "_owner", None)  # None where making it failed
        is_left = owner is not None and owner.is_here and self._state in ("open", "prepared")
        if is_left and self._has_rows:
            _logger.warning(
                "%s: let go of before it was closed, so nothing is published; use it in a with "
                "block, or call close()",
                self._what,
            )

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

    def _check_mode(self, mode: str) -> None:
        """Refuse a mode of h5py's that writers do not have, and with `x` what stands there.

        Raises:
            StoreError: it is none of `w`, `x` and `w-`, or something stands there.
        """
        where = f"mode of the {self._what}"
        if mode not in ("w", "x", "w-"):
            raise StoreError(
                where,
                expected="w to replace what is there, or x to refuse it",
                got=repr(mode),
                hint="what is published is never added to: write all of it anew; "
                "cache_features computes only what is new",
            )
        if mode != "w" and os.path.lexists(self.storage_path):
            raise StoreError(
                where,
                expected=f"nothing at {self.storage_path}, as {mode} asks",
                got="something there",
                hint="mode w replaces it",
            )

    @property
    @abstractmethod
    def _has_rows(self) -> bool:
        """Whether an utterance was written."""

    @abstractmethod
    def _complete(self) -> None:
        """Bring all of it to the disk, under another name."""

    @abstractmethod
    def _publish(self) -> None:
        """Give it its name."""

    @abstractmethod
    def _drop(self) -> None:
        """Remove what is not published."""
