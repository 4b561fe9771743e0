"""Fetch ranges of objects, many at once; try again what breaks, and believe no length.

Servers and libraries give short bodies, or whole ones for a range, without an error: each body is
measured here, and its content is held against checksums by who asked for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from featbank.errors import ConfigError, StoreError
from featbank.files.remote.faults import request_faults, said
from featbank.store.remote.elsewhere import Elsewhere, make_file_system
from featbank.store.remote.ranges import AbsentError, Bodies, ByteRange

_log = logging.getLogger(__name__)

_AT_ONCE = 64
_NOT_AGAIN = {400, 401, 403, 405, 416}  # answers of HTTP that come again
_CREDENTIALS = (
    "give credentials as the library of that scheme finds them, or in storage_options; "
    'storage_options={"anon": True} for a public bucket'
)
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

    def fetch(self, ranges: Sequence[ByteRange]) -> Iterator[bytes | StoreError]:
        """Fetch ranges, all at once; give them in order, or what is wrong with one."""
        return self.start(ranges).wait()

    def start(self, ranges: Sequence[ByteRange]) -> Bodies:
        """Ask for ranges, all at once, and wait for none."""
        return Bodies([[self._submit(part) for part in one.parts()] for one in ranges])

    def fetch_one(self, one: ByteRange) -> bytes:
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
            raise StoreError(where, expected="its files to be listed", got=said(error)) from error
        start = len(self.place.root.strip("/")) + 1
        return [str(path).strip("/")[start:] for path in found]

    def _submit(self, part: ByteRange) -> Future[bytes]:
        loop = self._prepared()
        return asyncio.run_coroutine_threadsafe(self._patient(part), loop)

    def _prepared(self) -> Any:
        """Return the loop that this process's file system works in."""
        from fsspec.asyn import get_loop

        if self._process != os.getpid():
            if self._file_system is not None:
                _inherited.append(self._file_system)
            try:
                self._file_system = make_file_system(self.place)
            except _faults() as error:  # of those that connect at once
                raise StoreError(
                    f"store {self.place.url}",
                    expected="a server that answers",
                    got=said(error),
                    hint=_CREDENTIALS if _is_unknown(error) else "",
                ) from error
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
                    part.measure(body)
                    return body
                except FileNotFoundError as error:
                    raise _absent(where) from error
                except (IsADirectoryError, NotADirectoryError) as error:
                    raise _absent(where) from error
                except TypeError as error:  # which libraries raise at the first request
                    raise ConfigError(
                        f"storage_options of {self.place.url}",
                        expected="what the file system takes",
                        got=said(error),
                    ) from error
                except _faults() as error:
                    status, is_unknown = getattr(error, "status", None), _is_unknown(error)
                    if attempt == self._persistence.attempts or status in _NOT_AGAIN or is_unknown:
                        raise StoreError(
                            where,
                            expected=f"an answer in {self._persistence.attempts} attempts",
                            got=said(error),
                            hint=_CREDENTIALS if is_unknown else getattr(error, "hint", ""),
                        ) from error
                    _log.info("%s: %s; asking again", where, said(error))
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
    return (*request_faults(), EOFError)


def _is_unknown(error: BaseException) -> bool:
    """Tell whether who asks is unknown, or may not: asking again would not help."""
    name = type(error).__name__  # NoCredentialsError of botocore, PermissionDenied of asyncssh
    return isinstance(error, PermissionError) or "Credentials" in name or "Denied" in name
