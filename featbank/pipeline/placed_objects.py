"""Objects of DVC wherever one lies, in the cache or in a remote, and new ones put beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from featbank.errors import StoreError
from featbank.files.opening import read_regular
from featbank.pipeline.dvc_listing import parse_listing
from featbank.pipeline.dvc_remote import RemoteObjects
from featbank.pipeline.held_places import cache_place, remote_place
from featbank.pipeline.scanning import LISTING

_MAX_LISTING = 1 << 30


class PlacedObjects:
    """The objects of this machine's cache and of all remotes that answer.

    Args:
        repo: of DVC, opened.
        work: folder for what is fetched; it is made when something is.

    Attributes:
        default: DVC's name for its default remote; None where there is none.
        remotes: names of the objects of each remote, by DVC's name for it.

    Raises:
        StoreError: the default remote does not answer.
    """

    def __init__(self, repo: Any, work: Path) -> None:
        self._store = repo.cache.local
        self._cache = dict(cache_place(repo).files)
        self._work = work
        self.default: str | None = repo.config["core"].get("remote")
        self.remotes: dict[str, frozenset[str]] = {}
        for name in repo.config["remote"]:
            try:
                self.remotes[name] = frozenset(remote_place(repo, name).files)
            except StoreError:
                if name == self.default:
                    raise

    def __contains__(self, digest: object) -> bool:
        """Tell whether an object is anywhere."""
        return digest in self._cache or any(digest in there for there in self.remotes.values())

    def path(self, digest: str) -> Path:
        """Return an object as a file of this disk; one that only a remote has is fetched.

        Raises:
            StoreError: it cannot be had.
        """
        if digest in self._cache:
            return Path(self._cache[digest])
        path = self._work / digest
        wrong = StoreError(
            f"object {digest}", expected="it in DVC's cache or a remote", got="nowhere"
        )
        for name in [one for one, there in self.remotes.items() if digest in there]:
            if path.exists():
                return path
            try:
                RemoteObjects(name).fetch(digest, path)
            except StoreError as error:
                wrong = error  # another one may have it, and answer
        if not path.exists():
            raise wrong
        return path

    def listing(self, digest: str) -> Mapping[str, str]:
        """Return the objects of an output by their paths in it; `""` for one that is a file.

        Raises:
            StoreError: what lists them cannot be had.
        """
        if not digest.endswith(LISTING):
            return {"": digest}
        return parse_listing(read_regular(self.path(digest), _MAX_LISTING), f"object {digest}")

    def cache(self, path: Path, digest: str) -> None:
        """Put a file of this disk into the cache, unless it is there."""
        # imported here: it takes a second
        from dvc_objects.fs.local import localfs

        if digest not in self._cache:
            self._store.add(str(path), localfs, digest)
            self._cache[digest] = self._store.oid_to_path(digest)

    def send(self, digests: Iterable[str], remote: str) -> None:
        """Send to a remote those objects that it lacks, listings behind what they list.

        DVC takes it that what a listing names is there, where the listing is.

        Raises:
            StoreError: one cannot be had, or the remote does not take it.
        """
        if remote not in self.remotes:
            raise StoreError(
                f"remote {remote}",
                expected="one that answers still, and takes the objects of a twin",
                got="none",
                hint="nothing is deleted; have it answer, and type the same again",
            )
        there = RemoteObjects(remote)
        for digest in sorted(digests, key=lambda one: (one.endswith(LISTING), one)):
            if digest not in self.remotes[remote]:
                path = self.path(digest)
                there.send(path, digest, path.stat().st_size)
                self.remotes[remote] |= {digest}
