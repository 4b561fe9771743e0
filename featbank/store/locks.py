"""The lock of a writer on what it writes: it ends with the writer, and no child inherits it."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Callable
from pathlib import Path

from featbank.errors import StoreError

_ATTEMPTS = 1000


class Lock:
    """Holds an open, locked descriptor until `release`, which may be called again.

    It is released too when its owner is forgotten, and in each forked child, which would else hold
    it when the owner has ended.
    """

    def __init__(self, descriptor: int) -> None:
        """Own a descriptor that `flock` has locked."""
        self.descriptor = descriptor
        self.release = weakref.finalize(self, os.close, descriptor)
        _held.add(self)

    @property
    def is_held(self) -> bool:
        """Tell whether it was not yet released."""
        return self.release.alive


def lock_folder(folder: Path, what: str, expected: str = "one writer at a time") -> Lock:
    """Create a folder and those above it, unless they are there, and lock it.

    Raises:
        StoreError: another one holds the lock; as `what`.
    """

    def open_folder() -> int:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    return _lock(open_folder, folder, what, expected)


def lock_file(file: Path, what: str) -> Lock:
    """Create a file, unless it is there, and lock it; it is opened for reading and writing.

    Raises:
        StoreError: another one holds the lock; as `what`.
    """
    return _lock(
        lambda: os.open(file, os.O_RDWR | os.O_CREAT, 0o644), file, what, "one writer at a time"
    )


def _lock(open_it: Callable[[], int], path: Path, what: str, expected: str) -> Lock:
    attempts = 0
    while True:
        try:
            descriptor = open_it()
        except FileNotFoundError:  # a folder, whose owner has just finished
            attempts += 1
            if attempts == _ATTEMPTS:  # or one that its file system does not make
                raise
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise StoreError(
                what, expected=expected, got="another one at work", hint="wait for it to end"
            ) from error
        if _is_there(descriptor, path):
            return Lock(descriptor)
        os.close(descriptor)


def _is_there(descriptor: int, path: Path) -> bool:
    """Tell whether `path` is still what we locked: its owner may just have moved it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


def _release_all() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_all)
