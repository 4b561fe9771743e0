"""Open stores of a revision out of DVC's remote, with no pull: its objects are read as they lie.

DVC is asked once, which objects the files of the store are; reads then go past it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Any

from featbank.errors import StoreError
from featbank.pipeline.dvc_listing import parse_listing
from featbank.pipeline.dvc_outputs import dvc_project
from featbank.store.format import SPLITS_NAME
from featbank.store.remote.client import RemoteClient
from featbank.store.remote.elsewhere import BESIDE, Elsewhere
from featbank.store.remote.ranges import ByteRange
from featbank.store.remote.store import RemoteStore, open_remote

_PROTOCOLS = {"local": "file"}
_LISTING = "listing"


def open_dvc_store(
    path: str,
    splits: str | Sequence[str] | None = None,
    *,
    rev: str | None = None,
    remote: str | None = None,
    cache_bytes: int | None = None,
) -> RemoteStore:
    """Open a store that DVC tracks where its remote has it, as `open_store` does a URL.

    >>> open_dvc_store("data/tokens/demo/units/x/train", rev="v1.0")  # doctest: +SKIP

    Args:
        path: of the store, or of a folder of its splits, from the root of the project.
        splits: those that are read; all by default.
        rev: a commit, tag or branch; by default, what `dvc.lock` names now.
        remote: by DVC's name for it; its default one otherwise.
        cache_bytes: as of `open_store`.

    Raises:
        StoreError: DVC tracks no such thing, the remote lacks it, or as of `open_store`.
    """
    return open_remote(resolve(path, rev=rev, remote=remote), splits, cache_bytes=cache_bytes)


def resolve(path: str, *, rev: str | None = None, remote: str | None = None) -> Elsewhere:
    """Find the objects of the files below a path; see `open_dvc_store`.

    Raises:
        StoreError: DVC tracks no such thing, or the remote has not what lists them.
    """
    # imported here: it takes a second
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    where = f"dvc://{remote or ''}{f'@{rev}' if rev else ''}/{path.strip('/')}"
    target = PurePosixPath(path.strip("/"))
    try:
        with ExitStack() as stack:
            repo = stack.enter_context(dvc_project())
            if rev is not None:
                from dvc.repo.brancher import switch

                stack.enter_context(switch(repo, rev))
            objects: dict[str, str] = {}
            options: dict[str, Any] = {}
            protocol = ""
            for out in repo.index.outs:
                place = PurePosixPath(out.repo.fs.relpath(out.fs_path, out.repo.root_dir))
                if not out.hash_info or not (
                    target.is_relative_to(place) or place.is_relative_to(target)
                ):
                    continue
                store = repo.cloud.get_remote_odb(remote, hash_name=out.hash_info.name)
                protocol, options = file_system_of(store)
                listed = _listed(store, out.hash_info.value, where, protocol, options)
                for name, digest in listed.items():
                    if (relative := _below(target, place / name)) is not None:
                        objects[relative] = store.oid_to_path(digest)
    except (DvcException, SCMError) as error:
        raise StoreError(
            where, expected="a revision, a remote and outputs that DVC knows", got=error
        ) from error
    if not objects:
        raise StoreError(
            where,
            expected="an output that DVC tracks, or a path in one",
            got="none",
            hint="paths are from the root of the project, as dvc.lock has them",
        )
    return Elsewhere(url=where, protocol=protocol, options=options, objects=objects)


def _below(target: PurePosixPath, path: PurePosixPath) -> str | None:
    """Return a file as the store names it; None for one that is not of it."""
    if path.is_relative_to(target):
        return path.relative_to(target).as_posix()
    if path == target.parent / SPLITS_NAME:
        return BESIDE + SPLITS_NAME
    return None


def file_system_of(store: Any) -> tuple[str, dict[str, Any]]:
    """Return the protocol and the options with which fsspec reads the objects of a remote."""
    file_system = store.fs
    protocol = _PROTOCOLS.get(file_system.protocol, file_system.protocol)
    if file_system.protocol == "local":
        return protocol, {}
    options = file_system.fs_args.items()
    return protocol, {name: x for name, x in options if name != "skip_instance_cache"}


def _listed(
    store: Any, digest: str, where: str, protocol: str, options: dict[str, Any]
) -> dict[str, str]:
    """Return the names of the objects of an output's files, by their paths in it."""
    if not digest.endswith(".dir"):
        return {"": digest}
    listing = {_LISTING: store.oid_to_path(digest)}
    client = RemoteClient(Elsewhere(url=where, protocol=protocol, options=options, objects=listing))
    data = client.fetch_one(ByteRange(name=_LISTING))
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != digest.removesuffix(".dir"):
        raise StoreError(f"{where}: object {digest}", expected="what its name says", got=found)
    return parse_listing(data, f"{where}: object {digest}")
