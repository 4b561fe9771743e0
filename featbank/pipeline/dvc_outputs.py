"""A stage's outputs as DVC has them: in dvc.lock, in its caches, and before a run.

DVC deletes a stage's outputs before it runs the stage's command. While that runs, `dvc.lock` still
names the old output, and the objects are in DVC's cache; so it is after `dvc pull` in a fresh clone
too, and in a workspace of `dvc exp run --temp`, whose cache is elsewhere. After the command DVC
hashes the outputs, takes them into its cache, and names them in `dvc.lock`; an output of a stage
that was stopped before that is deleted when it runs again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.files.opening import open_regular, read_regular
from featbank.files.provenance import file_sha256
from featbank.pipeline.dvc_listing import check_object, parse_listing
from featbank.store import HEADER_NAME
from featbank.store.splits import read_splits

_log = logging.getLogger(__name__)

_LOCK = Path("dvc.lock")
_READ_BY_DVC = (Path(".dvc", "config"), Path(".dvc", "config.local"), Path("dvc.yaml"), _LOCK)
_MAX_FILE = 64 << 20  # bytes of one of these
_MAX_DEPTH = 100  # of their YAML: DVC follows any by recursion, which ends the process
_MAX_LISTING = 1 << 30  # bytes, with some hundred for each file of an output


@contextmanager
def dvc_project() -> Iterator[Any]:
    """Open the project of DVC that this folder is in: a `dvc.repo.Repo`.

    Raises:
        FeatbankError: a file that DVC would read is none that it can: a pipe, which would hang it,
            a device, or one too large or too deep; or the disk does not take what DVC keeps.
        DvcException: it is no project, or one that DVC refuses.
    """
    # imported here: it takes a second
    from dvc.repo import Repo

    for path in _READ_BY_DVC:
        try:
            _read_for_dvc(path)
        except FileNotFoundError:
            continue
        except yaml.YAMLError:
            continue  # which DVC tells
        except OSError as error:
            raise FeatbankError(
                str(path), expected="a file that DVC reads", got=error.strerror
            ) from error
    try:
        repo = Repo()
    except sqlite3.Error as error:  # DVC keeps what it knows of files in databases
        raise FeatbankError(
            "DVC's files in .dvc/tmp or its site cache",
            expected="a disk with room that works",
            got=error,
        ) from error
    with repo:
        yield repo


def _read_for_dvc(path: Path) -> bytes:
    """Return the bytes of a file that is for DVC, if it can be read as such.

    Raises:
        OSError: as of `read_regular`.
        YAMLError: it is no YAML, though it should be.
        FeatbankError: it is nested too deep.
    """
    data = read_regular(path, _MAX_FILE)
    if path in _READ_BY_DVC[2:]:
        depth = 0
        for event in yaml.parse(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise FeatbankError(str(path), expected="YAML", got="nesting without end")
    return data


def is_run_by_dvc() -> bool:
    """Tell whether DVC runs this stage, and not somebody by hand."""
    return "DVC_STAGE" in os.environ


def cache_folders() -> list[Path]:
    """Return the folders from which DVC links files into the workspace; none outside of a project.

    Where `cache.type` is `symlink`, what DVC tracks is links into them, wherever they are.
    """
    # imported here: it takes a second
    from dvc.exceptions import DvcException

    try:
        with dvc_project() as repo:
            caches = (repo.cache.local, repo.cache.legacy)
            return [Path(cache.path) for cache in caches if cache is not None]
    except (DvcException, FeatbankError, OSError) as error:
        _log.warning("DVC does not say where its cache is: %s", error)
        return []


def is_cached(store: Path, header_sha256: str) -> bool:
    """Tell whether all of a store is in DVC's cache, as part of an output that `dvc.lock` names."""
    for out in (store, *store.parents):
        if digest := locked_digest(out):
            listed = _whole(digest)
            header = listed.get((store.relative_to(out) / HEADER_NAME).as_posix())
            return header is not None and file_sha256(header) == header_sha256
    return False


def drop_damaged(paths: Iterable[Path]) -> list[Path]:
    """Remove damaged files from DVC's cache; return the objects that were removed.

    A file that DVC linked is an object of its cache: what changed the one changed the other. DVC
    takes an object for sound while it is read-only, never asks a remote for it, and links it over
    the sound file that a stage has made anew. An object is named by the MD5 of its bytes: one that
    has still its name's bytes stays.

    Args:
        paths: of damaged files, or of links to them. They stay as they are.
    """
    paths = list(paths)
    if not paths:
        return []
    # imported here: it takes a second
    from dvc.exceptions import DvcException, NotDvcRepoError

    removed = []
    try:
        with dvc_project() as repo:
            cache = Path(repo.cache.local.path)
            listed = _objects_of(repo, cache, paths)
    except NotDvcRepoError:
        return []
    except (DvcException, FeatbankError, OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("DVC's cache cannot be asked for what is damaged: %s", error)
        return []
    for path in sorted(listed):
        try:
            with open_regular(path) as file:
                found = hashlib.file_digest(file, _md5).hexdigest()
            if found != path.parent.name + path.name:
                path.unlink()
                removed.append(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            _log.warning("a damaged object stays in DVC's cache: %s", error)
    return removed


def _objects_of(repo: Any, cache: Path, paths: Iterable[Path]) -> set[Path]:
    """Return the objects that files are links to, or that an output is to have in their place."""
    folder = cache.resolve()
    resolved = {path.resolve() for path in paths}
    found = {path for path in resolved if folder in path.parents}
    wanted = {Path(os.path.abspath(path)) for path in paths}  # noqa: PTH100 - links stay links
    for out in repo.index.outs:
        place, digest = Path(out.fs_path), out.hash_info.value
        if out.fs.protocol != "local" or not digest:
            continue
        inside = {path for path in wanted if path == place or place in path.parents}
        if not inside:
            continue
        if not digest.endswith(".dir"):
            found.add(_object(cache, digest))
            continue
        for relative, path in _entries(cache, digest).items():
            if place / relative in inside:
                found.add(path)
    return found


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def is_tracked(path: Path) -> bool:
    """Tell whether a path is an output of a stage, lies in one, or holds one.

    Raises:
        ConfigError: DVC does not read dvc.yaml.
    """
    # imported here: it takes a second, and only values typed by hand need it
    from dvc.exceptions import DvcException, NotDvcRepoError

    target = path.resolve()
    try:
        with dvc_project() as repo:
            outs = [Path(out.fs_path).resolve() for out in repo.index.outs]
    except NotDvcRepoError:
        return False
    except DvcException as error:
        raise ConfigError("dvc.yaml", expected="a pipeline that DVC reads", got=error) from error
    return any(target == out or out in target.parents or target in out.parents for out in outs)


class DvcPlace(StrEnum):
    """Place where DVC has an output that is not on this disk."""

    CACHE = "cache"
    REMOTE = "remote"
    UNASKED = "unasked"
    """There is a remote, on another machine: nothing is asked over the network."""
    NOWHERE = "nowhere"


def find_outputs(paths: Sequence[Path]) -> list[DvcPlace]:
    """Find out where DVC has outputs that are not on this disk, as `dvc.lock` names them.

    Args:
        paths: of outputs, or of what lies in one: that is where the whole output is.
    """
    locked = _locked()
    digests = [
        next(
            (locked[out.as_posix()] for out in (path, *path.parents) if out.as_posix() in locked),
            "",
        )
        for path in paths
    ]
    places = {digest: place_of(digest) for digest in dict.fromkeys(digests)}
    return [places[digest] for digest in digests]


def place_of(digest: str) -> DvcPlace:
    """Tell where an object is, all of it; "" is that of no output."""
    # imported here: it takes a second
    from dvc.exceptions import DvcException

    if not digest:
        return DvcPlace.NOWHERE
    if digest.endswith(".dir") and _whole(digest):
        return DvcPlace.CACHE
    try:
        with dvc_project() as repo:
            if _object(Path(repo.cache.local.path), digest).is_file() and digest[-4:] != ".dir":
                return DvcPlace.CACHE
            name = repo.config["core"].get("remote")
            if not name:
                return DvcPlace.NOWHERE
            if "://" in repo.config["remote"][name]["url"]:
                return DvcPlace.UNASKED
            # the object of a folder is pushed behind all that it lists
            is_there = repo.cloud.get_remote_odb(name).exists(digest)
            return DvcPlace.REMOTE if is_there else DvcPlace.NOWHERE
    except (DvcException, FeatbankError, OSError, KeyError) as error:
        _log.warning("DVC's remote is of no use to find %s: %s", digest, error)
        return DvcPlace.UNASKED


def is_whole(out: Path) -> bool:
    """Tell whether every store is there: a run that was stopped leaves folders, or some stores."""
    names = [entry for entry in out.iterdir() if entry.is_dir()] if out.is_dir() else []
    try:
        stated = {name: read_splits(name) for name in names}
    except StoreError:  # which who reads the stores tells
        return False
    return bool(stated) and all(
        splits and all((name / split / HEADER_NAME).is_file() for split in splits)
        for name, splits in stated.items()
    )


def locked_digest(out: Path) -> str | None:
    """Return the name of the folder object that dvc.lock has for an output: `<md5>.dir`."""
    digest = _locked().get(out.as_posix(), "")
    return digest if digest.endswith(".dir") else None


def _locked() -> dict[str, str]:
    """Return the name of the object that dvc.lock has for each output."""
    try:
        stages = yaml.safe_load(_read_for_dvc(_LOCK))["stages"]
        entries = [entry for stage in stages.values() for entry in stage.get("outs", ())]
        return {entry["path"]: str(entry.get("md5", "")) for entry in entries}
    except FileNotFoundError:
        return {}
    except (
        yaml.YAMLError,
        FeatbankError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        _log.warning("%s is of no use to find previous outputs: %s", _LOCK, error)
        return {}


def _whole(digest: str) -> dict[str, Path]:
    """Return the files of a folder object, by their paths in the folder; none where one lacks."""
    listed = listed_files(digest)
    there = {relative: path for relative, path in listed.items() if path is not None}
    return there if len(there) == len(listed) else {}


def listed_files(digest: str) -> dict[str, Path | None]:
    """Return the files of a folder object, by their paths in the folder; None where one lacks."""
    # imported here: it takes a second
    from dvc.exceptions import DvcException

    try:
        with dvc_project() as repo:
            cache = Path(repo.cache.local.path)
        found = _entries(cache, digest)
    except FileNotFoundError:
        return {}
    except (DvcException, FeatbankError, OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("DVC's cache is of no use to find the previous output: %s", error)
        return {}
    return {
        relative: path.resolve() if path.is_file() else None for relative, path in found.items()
    }


def _entries(cache: Path, digest: str) -> dict[str, Path]:
    """Return the objects that a folder object lists, by their paths in the folder."""
    path = _object(cache, digest)
    data = read_regular(path, _MAX_LISTING)
    listed = parse_listing(data, f"object {path}", FeatbankError)
    return {relative: _object(cache, one) for relative, one in listed.items()}


def _object(cache: Path, digest: str) -> Path:
    check_object(digest)
    return cache / digest[:2] / digest[2:]
