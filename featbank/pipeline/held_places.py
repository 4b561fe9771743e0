"""Places with files that may hold somebody: DVC's cache, its remotes, folders of this machine."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from featbank.errors import StoreError
from featbank.files.opening import open_regular
from featbank.files.remote.faults import request_faults, said
from featbank.pipeline.dvc_listing import OBJECT
from featbank.pipeline.dvc_store import file_system_of
from featbank.pipeline.git_history import GitHistory
from featbank.store.remote.client import RemoteClient
from featbank.store.remote.elsewhere import Elsewhere, make_file_system
from featbank.store.remote.ranged_file import RangedFile
from featbank.store.remote.ranges import ByteRange

_AT_ONCE = 64
_HEAD_BYTES = 1 << 18

Opened = tuple[str, BinaryIO | StoreError]
"""A file of a place, opened; or why it cannot be."""


class HeldPlace(Protocol):
    """A place with files: each has a name of its own, which of objects of DVC is their digest."""

    name: str

    @property
    def files(self) -> Mapping[str, str]:
        """Where each lies, for people, by its name."""

    def open(self, names: Sequence[str], *, head_bytes: int | None = None) -> Iterator[Opened]:
        """Open files, one after the other; each is closed as the next one is asked for.

        Args:
            names: of files of the place.
            head_bytes: that will be read of each at least; by default, those of most shards that
                stand before the values.
        """


class LocalPlace:
    """Files of this machine.

    Args:
        name: of the place.
        files: their paths.
    """

    def __init__(self, name: str, files: Mapping[str, str]) -> None:
        self.name = name
        self.files = files

    def open(self, names: Sequence[str], *, head_bytes: int | None = None) -> Iterator[Opened]:
        """Open files, as `HeldPlace` says."""
        del head_bytes
        for name in names:
            try:
                file = open_regular(self.files[name])
            except OSError as error:
                yield name, StoreError(self.files[name], expected="a file", got=error.strerror)
                continue
            with file:
                yield name, file


class RemotePlace:
    """Objects of a remote of DVC, read by ranges.

    Args:
        name: of the place.
        sizes: of its objects, in bytes.
        store: DVC's, of that remote.
    """

    def __init__(self, name: str, sizes: Mapping[str, int], store: Any) -> None:
        self.name = name
        self._sizes = sizes
        protocol, options = file_system_of(store)
        self._paths = {digest: store.oid_to_path(digest) for digest in sizes}
        self.files = {
            digest: str(store.fs.unstrip_protocol(path)) for digest, path in self._paths.items()
        }
        self._client = RemoteClient(
            Elsewhere(url=name, protocol=protocol, options=options, objects=self._paths)
        )

    def open(self, names: Sequence[str], *, head_bytes: int | None = None) -> Iterator[Opened]:
        """Open objects, as `HeldPlace` says; the heads of many are fetched at once."""
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            sizes = [self._sizes[name] for name in some]
            ranges = [
                ByteRange(name=name, start=0, stop=min(size, head_bytes or _HEAD_BYTES))
                for name, size in zip(some, sizes, strict=True)
            ]
            heads = self._client.fetch(ranges)
            for name, size, head in zip(some, sizes, heads, strict=True):
                if isinstance(head, StoreError):
                    yield name, head
                else:
                    file = io.BufferedReader(RangedFile(self._client, name, size, head))
                    with file:
                        yield name, file


class GitPlace:
    """Files of all commits, by the names of their blobs.

    Args:
        name: of the place.
        history: of git.
    """

    def __init__(self, name: str, history: GitHistory) -> None:
        self.name = name
        self._history = history
        self.files = {entry.sha: path for path, entry in history.blobs()}

    def open(self, names: Sequence[str], *, head_bytes: int | None = None) -> Iterator[Opened]:
        """Open files, as `HeldPlace` says."""
        del head_bytes
        for name in names:
            yield name, io.BytesIO(self._history.read(name))


def cache_place(repo: Any) -> LocalPlace:
    """Return the objects of DVC's cache, those that no revision names among them."""
    files: dict[str, str] = {}
    for cache in (repo.cache.legacy, repo.cache.local):
        folder = Path(cache.path) if cache is not None else None
        for prefix in _scanned(folder):
            if len(prefix.name) == 2 and prefix.is_dir():
                files.update(
                    (prefix.name + one.name, one.path)
                    for one in _scanned(prefix)
                    if OBJECT.fullmatch(prefix.name + one.name)
                )
    return LocalPlace("cache", files)


def _scanned(folder: Any) -> Sequence[os.DirEntry[str]]:
    with suppress(FileNotFoundError):
        return sorted(os.scandir(folder), key=lambda entry: entry.name) if folder else []
    return []


def remote_place(repo: Any, remote: str) -> RemotePlace:
    """Return the objects of a remote, those that no revision names among them.

    Raises:
        StoreError: it does not tell which there are.
    """
    # imported here: it takes a second
    from dvc.exceptions import DvcException
    from dvc_objects.fs import errors

    name = f"remote {remote}"
    try:
        store = repo.cloud.get_remote_odb(remote)
        if store.fs.protocol in ("http", "https"):
            raise StoreError(name, expected="a remote that lists its objects", got="a web server")
        protocol, options = file_system_of(store)
        system = make_file_system(Elsewhere(url=name, protocol=protocol, options=options))
        found = system.find(store.path, detail=True)
        if not found and not system.exists(_root(repo, remote, store)):
            raise StoreError(name, expected="a remote that is there", got="nothing at its place")
        return RemotePlace(name, _sizes(store, found), store)
    except (
        *request_faults(),
        DvcException,
        errors.RemoteMissingDepsError,
        errors.AuthError,
        errors.ConfigError,
    ) as error:
        raise StoreError(name, expected="its objects to be listed", got=said(error)) from error


def _root(repo: Any, remote: str, store: Any) -> str:
    """Return the folder or the bucket of a remote, which is there before any object is."""
    # imported here: it takes a second
    from dvc.fs import get_cloud_fs

    _, _, path = get_cloud_fs(repo.config, name=remote)
    return str(path if store.fs.protocol == "local" else path.partition("/")[0])


def _sizes(store: Any, found: Mapping[str, Any]) -> dict[str, int]:
    """Return the bytes of each object, of what was found in a remote."""
    sizes: dict[str, int] = {}
    for path, info in found.items():
        with suppress(ValueError):  # what is no object
            digest = store.path_to_oid(path)
            if OBJECT.fullmatch(digest):
                sizes[digest] = int(info["size"])
    return sizes
