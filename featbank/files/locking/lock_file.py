"""The file of a lock: locked by the system where that can, signed or claimed, read and removed."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from featbank.files.disk import NOT_OFFERED, named
from featbank.files.locking.owner import MAX_BYTES, Owner

_NO_FLOCK = NOT_OFFERED | {errno.ENOLCK, errno.EPERM}  # the last of them in a sandbox
_LOCKED = frozenset([errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES])  # the last of them over SMB
_LOOK = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def lock_open(descriptor: int, file: Path) -> bool | None:
    """Lock an open file; False where another one has, None where the file system does not."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _LOCKED:
            return False
        if error.errno in _NO_FLOCK:
            return None
        raise named(error, file, "locking") from error
    return True


def is_there(file: Path, descriptor: int) -> bool:
    """Tell whether a path is still what we opened: its owner may just have removed it."""
    try:
        again = os.open(file, _LOOK)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.ESTALE, errno.ELOOP):
            return False
        raise
    try:
        return os.path.samestat(os.fstat(descriptor), os.fstat(again))
    finally:
        os.close(again)


def holds(file: Path, descriptor: int, content: bytes) -> bool:
    """Tell whether a path is still what we opened, and holds what we wrote."""
    return is_there(file, descriptor) and read_open(file, descriptor) == content


def read_open(file: Path, descriptor: int) -> bytes:
    """Return what an open lock file holds; nothing where its owner lets nobody read."""
    try:
        return os.pread(descriptor, MAX_BYTES, 0)
    except PermissionError:  # over SMB nobody reads what another one has locked
        return b""
    except OSError as error:
        raise named(error, file, "reading") from error


def read_path(file: Path) -> bytes | None:
    """Return what the lock file at a path holds; None where there is none."""
    try:
        descriptor = os.open(file, _LOOK)
    except FileNotFoundError:
        return None
    try:
        return read_open(file, descriptor)
    finally:
        os.close(descriptor)


def sign(file: Path, descriptor: int, owner: Owner) -> bytes:
    """Name the owner in a file that it has locked; return what the file holds then.

    It is locked all the same where a full disk does not take the name.
    """
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, replace(owner, kind="flock").to_bytes(), 0)
    return read_open(file, descriptor)


def claim(file: Path, descriptor: int, owner: Owner) -> bytes:
    """Name the owner in a file that it has made; return what the file holds then."""
    content = owner.to_bytes()
    try:
        os.pwrite(descriptor, content, 0)
    except OSError as error:
        raise named(error, file, "writing") from error
    with suppress(OSError):  # so that a crash of the machine cuts none short, where that is offered
        os.fsync(descriptor)
    return content


def release(file: Path, descriptor: int, content: bytes) -> None:
    """Remove a lock file that is still ours; while it is locked, so that nobody else has it."""
    try:
        with suppress(OSError):  # a disk that fails leaves it: it names a process that ends
            if holds(file, descriptor, content):
                file.unlink()
    finally:
        os.close(descriptor)
