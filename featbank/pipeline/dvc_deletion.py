"""Deletion of single objects from DVC's cache and its remotes: those that are named, no others.

DVC's own `gc` knows only the other way: it deletes all that no revision names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from featbank.errors import ConfigError, StoreError
from featbank.pipeline.dvc_outputs import dvc_project
from featbank.pipeline.dvc_remote import RemoteObjects
from featbank.withdrawal.plan import PLAN, Deletion, NotReached

CACHE = "cache"
REMOTE = "remote "
"""Before the name of a remote."""

_TOLD = 3
_VERSIONS = "it may keep versions of what is deleted; nobody asked it for them: delete them there"


def refuse_added(deletions: Sequence[Deletion]) -> None:
    """Refuse a workspace with outputs that hold the person and that no stage makes anew.

    Raises:
        ConfigError: there are some: `dvc add` has made them.
    """
    outputs = {one.output for one in deletions if one.is_current and one.is_sure}
    _refuse(path for path, out in _outputs() if path in outputs and out.stage.is_data_source)


def without_named(deletions: Sequence[Deletion]) -> list[Deletion]:
    """Return what is to go, without what the workspace names: its outputs must be whole.

    What was made without the person and is as it was did not hold them: a number or a short word
    in it was something else.

    Raises:
        ConfigError: an output of the workspace names an object that holds the person for sure.
    """
    doomed = {one.digest for one in deletions}
    named = {path: doomed & _objects_of(out) for path, out in _outputs()}
    sure = {one.digest for one in deletions if one.is_sure}
    _refuse(path for path, digests in named.items() if digests & sure)
    kept = set().union(*named.values())
    return [one for one in deletions if one.digest not in kept]


def _refuse(found: Iterable[str]) -> None:
    if named := sorted(found):
        raise ConfigError(
            f"outputs that hold the person still: {', '.join(named[:_TOLD])}",
            expected="none that the workspace names",
            got=len(named),
            hint="take the person out of them, dvc add them again, and type the same; nothing is "
            "deleted before",
        )


def _outputs() -> Iterator[tuple[str, Any]]:
    """Give the outputs of the workspace, each after its path from the project's folder."""
    with dvc_project() as repo:
        for out in repo.index.outs:
            yield str(out.repo.fs.relpath(out.fs_path, repo.root_dir)), out


def delete_objects(deletions: Sequence[Deletion]) -> list[NotReached]:
    """Delete objects, remotes first; one that is gone already is done.

    Returns:
        Remotes that may keep versions of what was deleted.

    Raises:
        StoreError: some could not be deleted; the others are.
    """
    kept: list[NotReached] = []
    failed: list[str] = []
    for place in sorted({one.place for one in deletions}, reverse=True):
        digests = [one.digest for one in deletions if one.place == place]
        if place == CACHE:
            failed += _delete_cached(digests)
            continue
        try:
            remote = RemoteObjects(place.removeprefix(REMOTE))
        except ConfigError as error:
            failed += [str(error)] * len(digests)
            continue
        are_versions_kept = False
        for digest in digests:
            try:
                are_versions_kept |= not remote.delete(digest)
            except StoreError as error:
                failed.append(str(error))
        if are_versions_kept:
            kept.append(NotReached(what=f"versions in {place}", why=_VERSIONS))
    if failed:
        raise StoreError(
            f"{len(failed)} objects are not deleted, the first {failed[0]}",
            hint=f"type the same again: it goes on; where a remote is gone for good, remove {PLAN} "
            "first, and there is no receipt of what only it had",
        )
    return kept


def _delete_cached(digests: Sequence[str]) -> list[str]:
    failed = []
    with dvc_project() as repo:
        caches = [one for one in (repo.cache.local, repo.cache.legacy) if one is not None]
        for path in [Path(cache.oid_to_path(one)) for one in digests for cache in caches]:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                failed.append(f"{path}: {error.strerror}")
    return failed


def _objects_of(out: Any) -> set[str]:
    """Return the objects of an output as `dvc.lock` names it, as far as the cache lists them."""
    if not out.hash_info or not out.use_cache:
        return set()
    digest = out.hash_info.value
    found = out.get_obj()
    if not digest.endswith(".dir") or found is None:
        return {digest}
    return {digest, *(info.value for _, _, info in found)}
