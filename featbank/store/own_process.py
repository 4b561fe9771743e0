"""Tell whether a writer belongs to this process: a forked child inherits it, but not its work."""

from __future__ import annotations

import os

from featbank.errors import StoreError


class OwnProcess:
    """The process that began to write something."""

    __slots__ = ("_process", "_what")

    def __init__(self, what: str) -> None:
        """Take this process for the owner of `what`, as errors name it."""
        self._what = what
        self._process = os.getpid()

    @property
    def is_here(self) -> bool:
        """Tell whether this is that process; in another one nothing may be touched."""
        return os.getpid() == self._process

    def check(self) -> None:
        """Refuse to go on in another process.

        Raises:
            StoreError: this is one.
        """
        if not self.is_here:
            raise StoreError(
                self._what,
                expected=f"process {self._process}, which began it",
                got=f"process {os.getpid()}, forked from it",
                hint="write in the process that began, or begin a writer in the child",
            )
