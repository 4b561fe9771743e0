"""Fetch ranges of objects, many at once; try again what breaks, and believe no length.

Servers and libraries give short bodies, or whole ones for a range, without an error: each body is
measured here, and its content is held against checksums by who asked for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from featbank.errors import ConfigError, StoreError
from featbank.store.remote.elsewhere import Elsewhere, make_file_system

_log = logging.getLogger(__name__)

_PART_BYTES = 4 << 20
_AT_ONCE = 64
_NOT_AGAIN = {400, 401, 403, 405, 416}  # answers of HTTP that come again
# what libraries raise that is no OSError, by the module that has it once it is in use
_LIBRARY_FAULTS = {
    "aiohttp": ("ClientError",),
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "asyncssh": ("Error",),
    "google.auth.exceptions": ("GoogleAuthError",),
    "gcsfs.retry": ("HttpError",),
}
_inherited: list[Any] = []
"""File systems of the parent: a fork lets them be, for their connections are not its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """How long to wait for an answer, and how often to ask.

    Args:
        attempts: in all, one or more.
        timeout_s: of each.
        wait_s: before the second; twice as long before each further one, and up to as much more.
    """

    attempts: int = 5
    timeout_s: float = 60.0
    wait_s: float = 0.2


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


class AbsentError(StoreError):
    """Nothing is there."""


class RemoteClient:
    """Reads files of one store. Each process that it comes to makes a file system of its own.

    Args:
        place: of the store.
        persistence: with its server.
    """

    def __init__(self, place: Elsewhere, persistence: Persistence = Persistence()) -> None:
        self.place = place
        self._persistence = persistence
        self._process = -1
        self._file_system: Any = None
        self._slots: asyncio.Semaphore | None = None
        self.num_requests = 0
        """That were sent by this process, those included that were tried again."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the place."""
        return RemoteClient, (self.place, self._persistence)

    def fetch(self, ranges: Sequence[ByteRange]) -> Iterator[bytearray | StoreError]:
        """Fetch ranges, all at once; give them in order, or what is wrong with one."""
        return self.start(ranges).wait()

    def start(self, ranges: Sequence[ByteRange]) -> Bodies:
        """Ask for ranges, all at once, and wait for none."""
        return Bodies([[self._submit(part) for part in _parts(one)] for one in ranges])

    def fetch_one(self, one: ByteRange) -> bytearray:
        """Fetch one range.

        Raises:
            AbsentError: nothing is there.
            StoreError: it cannot be had.
        """
        [body] = self.fetch([one])
        if isinstance(body, StoreError):
            raise body
        return body

    def find(self, file_names: Collection[str], depth: int) -> list[str]:
        """Return the paths below the store of files of some names; none where nobody tells.

        Args:
            file_names: the last parts of the paths.
            depth: parts of a path at most.
        """
        if self.place.objects is not None:
            names = [*self.place.objects]
        else:
            names = self._listed(depth) if self.place.has_listing else []
        return [
            name
            for name in names
            if name.count("/") < depth and name.rpartition("/")[2] in file_names
        ]

    def _listed(self, depth: int) -> list[str]:
        loop = self._prepared()
        where = f"folder {self.place.url}"
        ask = asyncio.to_thread(self._file_system.find, self.place.root, maxdepth=depth)
        try:
            future = asyncio.run_coroutine_threadsafe(
                asyncio.wait_for(ask, self._persistence.timeout_s), loop
            )
            found = future.result()
        except FileNotFoundError:
            return []
        except _faults() as error:
            raise StoreError(where, expected="its files to be listed", got=_said(error)) from error
        start = len(self.place.root.strip("/")) + 1
        return [str(path).strip("/")[start:] for path in found]

    def _submit(self, part: ByteRange) -> Future[bytes]:
        return asyncio.run_coroutine_threadsafe(self._patient(part), self._prepared())

    def _prepared(self) -> Any:
        """Return the loop that this process's file system works in."""
        from fsspec.asyn import get_loop

        if self._process != os.getpid():
            if self._file_system is not None:
                _inherited.append(self._file_system)
            self._file_system = make_file_system(self.place)
            self._slots = asyncio.Semaphore(_AT_ONCE)
            self.num_requests = 0
            self._process = os.getpid()
        return getattr(self._file_system, "loop", None) or get_loop()

    async def _patient(self, part: ByteRange) -> bytes:
        """Fetch what one request may ask for; try again with growing waits."""
        path = self.place.path(part.name)
        where = f"{self.place.named(part.name)}, {part}"
        if path is None:
            raise _absent(where)
        assert self._slots is not None
        async with self._slots:
            for attempt in range(1, self._persistence.attempts + 1):
                self.num_requests += 1
                try:
                    body = await asyncio.wait_for(
                        self._ask(path, part), self._persistence.timeout_s
                    )
                    _measure(body, part)
                    return body
                except FileNotFoundError as error:
                    raise _absent(where) from error
                except (IsADirectoryError, NotADirectoryError) as error:
                    raise _absent(where) from error
                except PermissionError as error:
                    raise StoreError(
                        where, expected="leave to read it", got=_said(error)
                    ) from error
                except TypeError as error:  # which libraries raise at the first request
                    raise ConfigError(
                        f"storage_options of {self.place.url}",
                        expected="what the file system takes",
                        got=_said(error),
                    ) from error
                except _faults() as error:
                    status = getattr(error, "status", None)
                    if attempt == self._persistence.attempts or status in _NOT_AGAIN:
                        raise StoreError(
                            where,
                            expected=f"an answer in {attempt} attempts",
                            got=_said(error),
                            hint="is it reachable from here?" if status is None else "",
                        ) from error
                    _log.info("%s: %s; asking again", where, _said(error))
                wait_s = self._persistence.wait_s * 2 ** (attempt - 1)
                await asyncio.sleep(wait_s * random.uniform(1, 2))  # noqa: S311 - no secret
        raise AssertionError

    async def _ask(self, path: str, part: ByteRange) -> bytes:
        system = self._file_system
        if self.place.protocol in ("ssh", "sftp"):  # sshfs gives whole files only
            return await asyncio.to_thread(_read_opened, system, path, part)
        span = {} if part.stop is None else {"start": part.start, "end": part.stop}
        if system.async_impl:
            return bytes(await system._cat_file(path, **span))
        return bytes(await asyncio.to_thread(system.cat_file, path, **span))


class Bodies:
    """Ranges that were asked for, each in parts.

    Args:
        futures: of the parts of each.
    """

    def __init__(self, futures: list[list[Future[bytes]]]) -> None:
        self._futures = futures

    def wait(self) -> Iterator[bytearray | StoreError]:
        """Give the ranges in order, or what is wrong with one; once. Abandoned, it cancels."""
        try:
            for parts in self._futures:
                body: bytearray | StoreError
                try:
                    joined = bytearray()
                    for part in parts:
                        joined += part.result()
                    body = joined
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


class _BodyError(OSError):
    """A body of another length than was asked for."""


def _measure(body: bytes, part: ByteRange) -> None:
    if part.stop is not None and len(body) != part.stop - part.start:
        wanted = part.stop - part.start
        raise _BodyError(
            f"{len(body)} bytes instead of {wanted}"
            + (", as if the range was not heard" if len(body) > wanted else "")
        )


def _parts(one: ByteRange) -> Iterator[ByteRange]:
    if one.stop is None:
        yield one
        return
    # equal ones, for the last is waited for
    count = -(-(one.stop - one.start) // _PART_BYTES)
    size = -(-(one.stop - one.start) // max(1, count))
    for start in range(one.start, one.stop, max(1, size)):
        yield ByteRange(name=one.name, start=start, stop=min(one.stop, start + size))


def _read_opened(system: Any, path: str, part: ByteRange) -> bytes:
    with system.open(path, "rb") as file:
        if part.stop is None:
            return bytes(file.read())
        file.seek(part.start)
        return bytes(file.read(part.stop - part.start))


def _absent(where: str) -> AbsentError:
    return AbsentError(where, expected="an object", got="nothing there")


def _faults() -> tuple[type[BaseException], ...]:
    """Return what fsspec and the libraries behind it raise when an answer does not come."""
    found: list[type[BaseException]] = [OSError, EOFError, TimeoutError, asyncio.TimeoutError]
    for module, names in _LIBRARY_FAULTS.items():
        if module in sys.modules:
            found += [getattr(sys.modules[module], name) for name in names]
    return tuple(found)


def _said(error: BaseException) -> str:
    """Say what an error is, in one line: many have no text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
