"""Disks of a project: room, locks, and links between the workspace and DVC's cache.

What is tried are files of a temporary folder beside the real ones, which is removed.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from featbank.files.disk import UNTOLD, existing_folder, free_bytes
from featbank.files.locking.lock_file import lock_open
from featbank.machine.fact import MachineFact

_LITTLE_BYTES = 10_000_000_000
_CLONE = 0x40049409  # FICLONE of linux/fs.h
_MARK = ".featbank-doctor-"


def folder_facts(project: Path, caches: Sequence[Path]) -> Iterator[MachineFact]:
    """Give what the disks of a project have.

    Args:
        project: its folder.
        caches: those of DVC; none outside of a project.
    """
    project = project.absolute()
    data = existing_folder(project / "data")
    yield _room("the project", project)
    if data != project:
        yield _room("data", data)
    yield _locks(project)
    for cache in map(existing_folder, caches[:1]):
        yield _room("DVC's cache", cache)
        yield _links(data, cache)


def _room(what: str, folder: Path) -> MachineFact:
    try:
        free = free_bytes(folder)
    except OSError as error:
        return MachineFact(what=f"disk of {what}", value=f"{folder}: {error.strerror}")
    if free == UNTOLD:
        return MachineFact(what=f"disk of {what}", value=f"{folder} does not tell what is free")
    is_little = free < _LITTLE_BYTES
    return MachineFact(
        what=f"disk of {what}",
        value=f"{free / 1e9:,.1f} GB free at {folder}",
        verdict="slow" if is_little else "ok",
        hint="free some space; python stages/extract.py --dry-run tells what a run needs"
        if is_little
        else "",
    )


def _locks(folder: Path) -> MachineFact:
    what = "file locks"
    try:
        with tempfile.TemporaryDirectory(prefix=_MARK, dir=folder) as name:
            file = Path(name, "lock")
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
            try:
                has_locks = lock_open(descriptor, file)
            finally:
                os.close(descriptor)
    except OSError as error:
        return _unwritable(what, folder, error)
    if has_locks:
        return MachineFact(what=what, value=f"flock works in {folder}")
    hint = "a killed run of another machine leaves its lock: --break-lock then"
    return MachineFact(what=what, value=f"no flock in {folder}", verdict="slow", hint=hint)


def _links(workspace: Path, cache: Path) -> MachineFact:
    what = "links to DVC's cache"
    try:
        with (
            tempfile.TemporaryDirectory(prefix=_MARK, dir=cache) as there,
            tempfile.TemporaryDirectory(prefix=_MARK, dir=workspace) as here,
        ):
            source = Path(there, "object")
            source.write_bytes(b"featbank")
            ways = {"hardlink": _is_hard, "reflink": _is_cloned}
            found = [way for way, works in ways.items() if works(source, Path(here, way))]
    except OSError as error:
        return _unwritable(what, cache, error)
    if found:
        return MachineFact(what=what, value=f"{' and '.join(found)}: {workspace} to {cache}")
    return MachineFact(
        what=what,
        value=f"no hardlink or reflink from {workspace} to {cache}",
        verdict="slow",
        hint="symbolic links take their place; to have others, a cache on the same disk: "
        "dvc cache dir FOLDER",
    )


def _is_hard(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    return True


def _is_cloned(source: Path, target: Path) -> bool:
    try:
        with open(source, "rb") as read, open(target, "wb") as written:
            fcntl.ioctl(written.fileno(), _CLONE, read.fileno())
    except OSError:
        return False
    return True


def _unwritable(what: str, folder: Path, error: OSError) -> MachineFact:
    return MachineFact(
        what=what,
        value=f"nothing can be written in {folder}: {error.strerror}",
        verdict="missing",
        hint="go to a folder of your own",
        is_needed=True,
    )
