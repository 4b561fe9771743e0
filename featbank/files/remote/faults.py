"""Faults of reading over the network: what is not there, what may not be read, what may pass."""

from __future__ import annotations

import errno
import logging
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from featbank.files.remote.paths import RemotePath

_log = logging.getLogger(__name__)

_WAITS_S = (0.5, 2.0, 8.0)  # before a request is made again
_GONE = frozenset([404, 410])
_FORBIDDEN = frozenset([401, 403])
_MOST_SAID = 300  # characters of an error: some hold a page

# what the clients raise that is no OSError, by the module that has it once it is used
_CLIENT_FAULTS = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("asyncssh", "Error"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)

_T = TypeVar("_T")


class RemoteError(OSError):
    """A request that failed though it was made several times: the network's fault or the server's.

    It says nothing of the file, so it ends a run, which goes on later.
    """


class ForbiddenError(RemoteError):
    """A request that the server refuses to this user. Nobody knows whether the file is there."""


def request(path: RemotePath, make: Callable[[], _T]) -> _T:
    """Make a request, again after a wait where it fails for what may pass.

    Args:
        path: that it is about.
        make: makes it, each time from the start.

    Raises:
        FileNotFoundError: nothing is there.
        ForbiddenError: the server refuses it to this user.
        RemoteError: it failed each time.
    """
    waits_s = iter(_WAITS_S)
    while True:
        try:
            return make()
        except request_faults() as error:
            if _is_gone(error, path):
                raise FileNotFoundError(errno.ENOENT, "nothing there", str(path)) from error
            if _is_forbidden(error):
                raise ForbiddenError(
                    errno.EIO, f"the server does not let this user read it: {error}", str(path)
                ) from error
            wait_s = next(waits_s, None)
            if wait_s is None:
                got = error.strerror if isinstance(error, RemoteError) else said(error)
                raise RemoteError(errno.EIO, f"a request failed: {got}", str(path)) from error
            _log.warning("%s: %s; trying again in %g s", path, said(error), wait_s)
            time.sleep(wait_s)


def said(error: BaseException) -> str:
    """Say what an error is, in one line: many have no text.

    >>> said(ValueError("no  answer")), said(TimeoutError())
    ('ValueError: no answer', 'TimeoutError')
    """
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # as of `_is_gone`: a server that is down lacks no file
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:_MOST_SAID]}" if text else type(error).__name__


def request_faults() -> tuple[type[Exception], ...]:
    """Return what a request may raise: errors of the system, and of the clients that are in use."""
    modules = ((sys.modules.get(module), name) for module, name in _CLIENT_FAULTS)
    return (OSError, *(getattr(module, name) for module, name in modules if module is not None))


def _is_gone(error: BaseException, path: RemotePath) -> bool:
    """Tell an answer that nothing is there from a server that did not answer.

    fsspec's HTTP gives FileNotFoundError for whatever fails when it asks for a file's size.
    """
    if not isinstance(error, FileNotFoundError):
        return _status(error) in _GONE
    cause = error.__cause__
    return cause is None or not path.is_http or _status(cause) in _GONE


def _is_forbidden(error: BaseException) -> bool:
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return isinstance(error, PermissionError) or _status(error) in _FORBIDDEN


def _status(error: BaseException) -> int | None:
    """Return the status that HTTP has answered with; None where it has not."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else None
