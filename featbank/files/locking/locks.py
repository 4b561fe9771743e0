"""A lock on a path, held by a file beside it: `.NAME.lock`, which goes when it is released.

It lies beside what it guards and never in it, so that a folder may be renamed, exchanged or removed
under its lock, and no published folder ever holds one. What is locked is a file that is open for
writing, for on NFS a folder that is locked may lock nothing.

**With `flock`** the lock ends with its process, whatever the file says; a file that a killed
process left is locked and written anew. Who waits for a file that is being removed gets the lock of
what has no name any more, so that who has locked looks whether the path is still that file, by
opening it again: on NFS that asks the server.

**Where `flock` is refused** (Lustre and NFS mounted without, some user-space file systems), the
file itself is the claim: made with `O_EXCL`, it names its owner. It is taken over from an owner
that is seen to be dead: of this host, this boot and this namespace of process ids, with no such
process or one that started at another time. It is never taken for its age: a clock tells nothing of
a process that was suspended, or of a slow disk. Of a claim of another host, of one that was cut
short while it was written, nobody can tell; it stays until somebody who knows says so
(`breaking_locks`). Where `flock` works here, a claim that a host without it made counts as well.

**Two that take over one claim.** What replaces a claim is a claim on the right to do so, a second
file named by the digest of what the first one holds, and made with `O_EXCL`. Its maker looks
whether the first is still the same, and renames the second over it. No two files have equal content
but for torn ones, whose only change, besides, is that their maker completes them. A second file
whose maker died is taken over in the same way.

**What remains.** A lock that is broken while its owner lives, one that `flock` grants to two hosts
(NFS with local locks), and a claim that is made in the moment in which another process locks the
file it made: both go on. Therefore `Lock.check` reads whether the file is still this lock's, and is
called before anything is moved to its place: of two, the one that came first publishes nothing.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from featbank.errors import FeatbankError, StoreError
from featbank.files.locking.lock_file import (
    claim,
    holds,
    is_there,
    lock_open,
    read_open,
    read_path,
    release,
    sign,
)
from featbank.files.locking.owner import Owner

_log = logging.getLogger(__name__)

_ATTEMPTS = 1000
_POLL_S = 0.1
_TORN_POLLS = 50  # that a waiting process gives another one to complete its claim
_FULL = frozenset([errno.ENOSPC, errno.EDQUOT])
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_breaks: ContextVar[bool] = ContextVar("breaks", default=False)


@contextmanager
def breaking_locks() -> Iterator[None]:
    """Take the locks that a block asks for from their owners, unless they are seen alive here.

    For whoever knows that the owners are gone: they publish nothing if they are not, but what both
    wrote meanwhile is lost. An owner that lives on this machine is to be ended first.
    """
    token = _breaks.set(True)
    try:
        yield
    finally:
        _breaks.reset(token)


class Lock:
    """Is held until `release`, which may be called again.

    It is released too when its owner is forgotten, and in each forked child, which would else hold
    it when the owner has ended.
    """

    def __init__(self, path: Path, descriptor: int, content: bytes, what: str) -> None:
        """Own an open lock file that holds `content`."""
        self._path = path
        self._descriptor = descriptor
        self._content = content
        self._what = what
        self.release = weakref.finalize(self, release, path, descriptor, content)
        _held.add(self)

    @property
    def is_held(self) -> bool:
        """Tell whether it was not yet released."""
        return self.release.alive

    @property
    def is_mine(self) -> bool:
        """Tell whether it is held, and surely no other one has taken it."""
        with suppress(OSError):
            return self.is_held and holds(self._path, self._descriptor, self._content)
        return False

    def check(self, kind: type[FeatbankError] = StoreError) -> None:
        """Refuse to go on when another has taken the lock.

        Raises:
            FeatbankError: it has, or the lock was released; of `kind`.
            OSError: the disk does not tell.
        """
        if not self.is_held or not holds(self._path, self._descriptor, self._content):
            raise kind(
                self._what,
                expected=f"the lock {self._path} as it was taken",
                got="another one's, or none",
                hint="nothing was published: another one was told to break the lock; run again",
            )

    def moved(self, path: Path) -> Lock:
        """Return the same lock under the path that its file was renamed to."""
        self.release.detach()
        return Lock(path, self._descriptor, self._content, self._what)

    def forget(self) -> None:
        """Close it in a forked child, which leaves it to its parent."""
        if self.release.detach():
            os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class _Taken:
    """What stands in the way.

    Args:
        owner: whom the file names, if it is whole.
        is_locked: whether the system says that it is held.
    """

    owner: Owner | None
    is_locked: bool


def lock_path(path: Path) -> Path:
    """Return where the lock file of a path lies.

    >>> lock_path(Path("stores/dev")).as_posix()
    'stores/.dev.lock'
    """
    return path.with_name(f".{path.name}.lock")


def lock(
    path: Path,
    what: str,
    *,
    expected: str = "one writer at a time",
    wait: bool = False,
    breaks: bool = False,
    kind: type[FeatbankError] = StoreError,
) -> Lock:
    """Lock a path, which need not be there; the folders above it are made.

    Args:
        path: of what is guarded.
        what: it is, for errors.
        expected: the rule that another one breaks, for errors.
        wait: until an owner that is seen to live lets it go.
        breaks: take it from an owner that is not seen to live; see `breaking_locks`.
        kind: of the error.

    Raises:
        FeatbankError: another one holds it, or the disk is full; of `kind`.
        OSError: the lock file cannot be made.
    """
    file = lock_path(path)
    breaks = breaks or _breaks.get()
    attempts = polls = 0
    while True:
        try:
            with _full_disk_told(what, kind):
                file.parent.mkdir(parents=True, exist_ok=True)
                got = _attempt(file, what, breaks=breaks)
        except FileNotFoundError:  # a folder, whose owner has just finished
            got = None
            if attempts == _ATTEMPTS:  # or one that its file system does not make
                raise
        if isinstance(got, Lock):
            return got
        if got is None:
            if attempts == _ATTEMPTS:
                raise OSError(errno.ESTALE, "Another file at each look", str(file))
            attempts += 1
            continue
        may_end = got.is_locked or (got.owner.is_alive if got.owner else polls < _TORN_POLLS)
        if not wait or not may_end:
            raise _refusal(file, got, what, expected, kind)
        if not polls and got.owner:
            _log.warning("%s: waiting for %s", what, got.owner)
        polls += 1
        time.sleep(_POLL_S)


@contextmanager
def _full_disk_told(what: str, kind: type[FeatbankError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise kind(
            what,
            expected="a disk with room that works",
            got=error,
            hint="nothing was begun; free some space and run again",
        ) from error


def _refusal(
    file: Path, got: _Taken, what: str, expected: str, kind: type[FeatbankError]
) -> FeatbankError:
    who = "a claim that names nobody" if not got.owner and not got.is_locked else "another one"
    hint = f"wait for it to end (its lock is {file})"
    if not got.owner or not got.owner.is_alive:
        hint += "; where it is gone for sure: --break-lock, in Python break_lock=True"
    return kind(
        what,
        expected=expected,
        got=f"{who} at work" + (f": {got.owner}" if got.owner else ""),
        hint=hint,
    )


def _attempt(file: Path, what: str, *, breaks: bool) -> Lock | _Taken | None:
    """Try once; None where another one's file went while we looked."""
    owner = Owner.this_process()  # first, so that a claim is complete at once
    try:
        descriptor = os.open(file, _OPEN | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return _attempt_existing(file, what, owner, breaks=breaks)
    is_locked: bool | None = False
    try:
        is_locked = lock_open(descriptor, file)
        if is_locked is False:  # another one was faster
            os.close(descriptor)
            return _Taken(None, is_locked=True)
        if is_locked and not is_there(file, descriptor):
            os.close(descriptor)
            return None
        content = (sign if is_locked else claim)(file, descriptor, owner)
    except BaseException:
        if is_locked is not False:
            file.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    return Lock(file, descriptor, content, what)


def _attempt_existing(file: Path, what: str, owner: Owner, *, breaks: bool) -> Lock | _Taken | None:
    descriptor = os.open(file, _OPEN)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StoreError(f"lock {file}", expected="a file", got="something else there")
        is_locked = lock_open(descriptor, file)
        found = read_open(file, descriptor)
        other = Owner.from_bytes(found)
        if is_locked and not (other and other.kind == "claim"):
            if not is_there(file, descriptor):
                return None
            taken = Lock(file, descriptor, sign(file, descriptor, owner), what)
            descriptor = -1
            return taken
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    is_dead = is_locked is not False and other is not None and other.is_dead
    if is_dead or (breaks and not (other and other.is_alive)):
        return _take_over(file, found, what, breaks=breaks)
    return _Taken(other, is_locked=is_locked is False)


def _take_over(file: Path, found: bytes, what: str, *, breaks: bool) -> Lock | _Taken | None:
    """Put a claim of ours where a file holds `found`; None where it holds something else by now."""
    right = file.with_name(f"{file.name}.{hashlib.sha256(found).hexdigest()[:16]}")
    got = _attempt(right, what, breaks=breaks)
    if not isinstance(got, Lock):
        return got
    try:
        if read_path(file) != found:
            return None
        right.replace(file)
        return got.moved(file)
    finally:
        got.release()  # unless it has moved


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forget_all() -> None:
    for one in list(_held):
        one.forget()


os.register_at_fork(after_in_child=_forget_all)
