"""What is asked of another machine: what a folder holds, what a file is, and its bytes."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from featbank.files.remote.faults import RemoteError, request
from featbank.files.remote.paths import AnyPath, RemotePath, check_reachable

_LISTED_AT_ONCE = 8  # folders
_EXACT = frozenset(["s3", "gs"])  # where an ETag is another one for other bytes, whenever written
_VERSIONS = ("ETag", "etag", "md5Hash", "Content-MD5", "Digest")
_TIMES = ("LastModified", "mtime", "updated", "Last-Modified")

_Entry = tuple[str, bool]  # name in a folder, and whether it is a folder itself


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStat:
    """What a server says of a file, which changes when its bytes are rewritten.

    Args:
        num_bytes: its size.
        version: its ETag or checksum; empty where the server gives none.
        mtime_ns: when it was written; None where the server does not say. 0 where its version says
            all: an object of a bucket that is written again gets another one.
    """

    num_bytes: int
    version: str = ""
    mtime_ns: int | None = None

    @property
    def is_a_state(self) -> bool:
        """Whether it tells a file from one that was written later in its place."""
        return bool(self.version) or self.mtime_ns is not None


def stat_remote(path: RemotePath) -> RemoteStat:
    """Ask what a file is, in one request.

    Raises:
        FileNotFoundError: there is none, or a folder in its place.
        RemoteError: it cannot be asked, or the server does not say how long the file is.
    """

    def ask() -> Mapping[str, Any]:
        found: Mapping[str, Any] = _client(path).info(_name(path))
        if found.get("type") == "directory":
            raise FileNotFoundError(str(path))
        return found

    found = request(path, ask)
    size = found.get("size")
    if not isinstance(size, int):
        raise RemoteError(errno.EIO, "the server does not say how long it is", str(path))
    version = next((str(found[name]) for name in _VERSIONS if found.get(name)), "")
    if version.startswith("W/"):  # of what means the same, whatever its bytes
        version = ""
    is_exact = path.scheme in _EXACT and version
    times = (found[name] for name in _TIMES if found.get(name))
    return RemoteStat(
        num_bytes=size, version=version, mtime_ns=0 if is_exact else _nanoseconds(next(times, None))
    )


def read_remote(path: RemotePath, start: int, end: int, num_bytes: int) -> bytes:
    """Read the bytes of a file from `start` to before `end`, in one request.

    The last of them come with a look at whether the file ends there: one that has grown since it
    was asked for its size is not read as its beginning.

    Args:
        path: of the file.
        start: of the bytes.
        end: of them.
        num_bytes: that the file has.

    Raises:
        FileNotFoundError: it is gone.
        RemoteError: it cannot be read, or what came had another length, again and again.
    """
    stop = end + 1 if end == num_bytes else end

    def read() -> bytes:
        client, name = _client(path), _name(path)
        if path.scheme == "ssh":  # whose client reads a whole file, whatever part is asked for
            with client.open(name, "rb") as file:
                file.seek(start)
                data = bytes(file.read(stop - start))
        else:
            data = client.cat_file(name, start=start, end=stop)
        if len(data) != end - start:  # which the clients do not look at
            said = f"got {len(data)} bytes in the place of {end - start}"
            raise RemoteError(errno.EIO, said, str(path))
        return data

    return request(path, read)


def walk_remote(root: RemotePath, folder: str = "") -> Iterator[str]:
    """Give the paths of the files below a folder, relative to `root`, in no order.

    A folder that is not there is empty, as it is in a bucket. Over HTTP, the server's pages that
    list folders are read; one that shows none lists nothing.

    Raises:
        RemoteError: a folder cannot be listed.
    """
    waiting = [folder]
    asked: deque[tuple[str, Future[list[_Entry]]]] = deque()
    with ThreadPoolExecutor(_LISTED_AT_ONCE, thread_name_prefix="list") as threads:
        try:
            while waiting or asked:
                while waiting and len(asked) < _LISTED_AT_ONCE:
                    at = waiting.pop()
                    asked.append((at, threads.submit(list_remote, root / at)))
                at, listing = asked.popleft()
                for name, is_folder in listing.result():
                    path = f"{at}/{name}" if at else name
                    if is_folder:
                        waiting.append(path)
                    else:
                        yield path
        finally:
            threads.shutdown(cancel_futures=True)


def is_there(root: AnyPath) -> bool:
    """Tell whether a folder is there; in a bucket, whether it holds anything.

    Over HTTP, where folders need not be listed, it always is.

    Raises:
        RemoteError: it cannot be listed.
    """
    if isinstance(root, Path):
        return root.is_dir()
    return root.is_http or bool(list_remote(root))


def list_remote(folder: RemotePath) -> list[_Entry]:
    """Return the names in a folder, in no order, each with whether it is a folder itself.

    Raises:
        RemoteError: it cannot be listed.
    """
    entries: list[Mapping[str, Any]] = []
    with suppress(FileNotFoundError):
        entries = request(folder, lambda: _client(folder).ls(_name(folder), detail=True))
    here = _name(folder).rstrip("/")
    # a bucket may hold an empty object in a folder's name
    named = ((entry["name"].rstrip("/"), entry["type"] == "directory") for entry in entries)
    last = ((name.rpartition("/")[2], is_folder) for name, is_folder in named if name != here)
    if folder.is_http:
        # a page has links to sort it by, too
        return [(unquote(name), is_folder) for name, is_folder in last if "?" not in name]
    return list(last)


def _name(path: RemotePath) -> str:
    """Return what the client calls a file."""
    host, below = path.parts[1], "/".join(path.parts[2:])
    if path.is_http:
        return f"{path.scheme}://{host}/{quote(below)}"
    return f"/{below}" if path.scheme == "ssh" else f"{host}/{below}"


def _client(path: RemotePath) -> Any:
    """Return the client of a bucket or host, of this process and for all of its threads."""
    return _made_client(path.scheme, path.parts[1])


@lru_cache(maxsize=16)
def _made_client(scheme: str, host: str) -> Any:
    root = RemotePath(f"{scheme}://{host}")
    check_reachable(root)
    # one for all threads, of which fsspec would make one each, with connections of its own
    if scheme == "ssh":
        ssh = import_module("sshfs").SSHFileSystem
        return ssh(**ssh._get_kwargs_from_urls(f"{root}/"), skip_instance_cache=True)
    return import_module("fsspec").filesystem(
        scheme, skip_instance_cache=True, use_listings_cache=False
    )


def forget_clients() -> None:
    """Leave the connections to the process that this one was forked from."""
    _made_client.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_clients)


def _nanoseconds(time: Any) -> int | None:
    if isinstance(time, str):
        try:
            time = parsedate_to_datetime(time) if "," in time else datetime.fromisoformat(time)
        except ValueError:
            return None
    if isinstance(time, datetime):
        return int(time.timestamp()) * 1_000_000_000 + time.microsecond * 1000
    return int(time * 1e9) if isinstance(time, int | float) else None
