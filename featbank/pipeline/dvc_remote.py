"""Objects of DVC's remote, one at a time: sent, measured there, fetched again, and deleted.

An object is named by the MD5 of its bytes, so that what is there under its name, whole, is right
whoever sent it. DVC's own classes know each kind of remote and its credentials.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from featbank.errors import ConfigError, StoreError
from featbank.files.opening import open_regular
from featbank.files.remote import RemotePath
from featbank.files.remote.faults import request, said
from featbank.pipeline.dvc_outputs import dvc_project

_KEPT = "nothing is lost: look at the remote, and type the same again, which goes on from here"

_WITHOUT_VERSIONS = ("local", "ssh")

_T = TypeVar("_T")


class RemoteObjects:
    """The objects of one remote. It may be used by several threads."""

    def __init__(self, name: str | None) -> None:
        """Ask DVC for the remote; nothing is asked over the network.

        Args:
            name: DVC's for it; None is its default one.

        Raises:
            ConfigError: there is no such remote, or a package that speaks to it is missing.
        """
        # imported here: it takes a second
        from dvc.exceptions import DvcException
        from dvc_objects.fs.errors import RemoteMissingDepsError

        try:
            with dvc_project() as repo:
                self._store = repo.cloud.get_remote_odb(name, command="push")
        except (DvcException, RemoteMissingDepsError, ImportError) as error:
            raise ConfigError(
                f"DVC's remote {name or 'by default'}",
                expected="one that objects can be pushed to",
                got=said(error),
                hint="dvc remote list shows them; push_remote=NAME chooses one",
            ) from error
        self.url = str(self._store.fs.unstrip_protocol(self._store.path))

    def send(self, path: Path, digest: str, num_bytes: int) -> None:
        """Send a file, unless an object of its name and size is there.

        Raises:
            StoreError: the remote does not take it, or not all of it.
        """
        # imported here: it takes a second
        from dvc_objects.fs.local import localfs

        def send() -> None:
            found = self._ask_size(digest)
            if found == num_bytes:
                return
            if found is not None:  # part of one, left by a client that was killed
                self._store.delete(digest)
            self._store.add(os.fspath(path), localfs, digest, check_exists=False)
            found = self._ask_size(digest)
            if found != num_bytes:
                raise OSError(errno.EIO, f"of {num_bytes} bytes sent, {found or 0} are there")

        self._request(digest, "an object to be taken", send)

    def size_of(self, digest: str) -> int | None:
        """Return the bytes of an object; None where there is none.

        Raises:
            StoreError: the remote does not say.
        """
        return self._request(digest, "its size", lambda: self._ask_size(digest))

    def fetch(self, digest: str, path: Path) -> None:
        """Fetch an object: a whole file, with the bytes that its name says.

        Raises:
            StoreError: it cannot be had.
        """
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")

        def fetch() -> None:
            self._store.fs.get_file(self._store.oid_to_path(digest), os.fspath(temporary))
            if (found := file_md5(temporary)) != digest.removesuffix(".dir"):
                raise OSError(errno.EIO, f"what came has the MD5 {found}")

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._request(digest, "an object", fetch)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def delete(self, digest: str) -> bool:
        """Delete an object, and every version of it that a bucket of S3 keeps.

        Returns:
            Whether none is left for sure: other buckets may keep versions, too.

        Raises:
            StoreError: the remote does not delete it.
        """
        path = self._store.oid_to_path(digest)

        def delete() -> bool:
            is_sure = self._delete_versions(path)
            try:
                if not is_sure:
                    self._store.fs.remove(path)
            except FileNotFoundError:
                pass
            if self._ask_size(digest) is not None:
                raise OSError(errno.EIO, "it is still there")
            return is_sure or self._store.fs.protocol in _WITHOUT_VERSIONS

        return self._request(digest, "to be deleted", delete)

    def _delete_versions(self, path: str) -> bool:
        """Delete all versions of a path, where this remote says which there are."""
        client = self._store.fs.fs
        if self._store.fs.protocol != "s3":
            return False
        bucket, key, _ = client.split_path(path)
        versions, page = [], {"IsTruncated": True}
        try:
            while page["IsTruncated"]:
                marks = {
                    name: page[f"Next{name}"]
                    for name in ("KeyMarker", "VersionIdMarker")
                    if f"Next{name}" in page
                }
                page = client.call_s3("list_object_versions", Bucket=bucket, Prefix=key, **marks)
                versions += [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        except PermissionError:  # to list versions is a right of its own
            return False
        for one in versions:
            if one["Key"] == key:  # a prefix is also that of longer names
                client.call_s3("delete_object", Bucket=bucket, Key=key, VersionId=one["VersionId"])
        return True

    def _ask_size(self, digest: str) -> int | None:
        path = self._store.oid_to_path(digest)
        self._store.fs.fs.invalidate_cache()  # buckets' clients remember what they have listed
        try:
            return int(self._store.fs.info(path)["size"])
        except FileNotFoundError:
            return None

    def _request(self, digest: str, expected: str, make: Callable[[], _T]) -> _T:
        # imported here: it takes a second
        from dvc.exceptions import DvcException
        from dvc_objects.fs import errors

        where = f"object {digest} of {self.url}"
        try:
            return request(RemotePath(self.url), make)
        except (OSError, DvcException, errors.AuthError, errors.ConfigError) as error:
            got = said(error.__cause__ or error)
            raise StoreError(where, expected=expected, got=got, hint=_KEPT) from error


def file_md5(path: Path) -> str:
    """Return the name of the object that a file is."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)
