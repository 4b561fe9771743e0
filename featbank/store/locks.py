"""The lock of a writer on what it writes: it ends with the writer, and no child inherits it."""

from __future__ import annotations

import os
import weakref


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


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


def _release_all() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_all)
