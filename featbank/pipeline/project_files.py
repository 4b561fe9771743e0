"""Files of a project's folder as places: the workspace, what runs left, and exports."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from featbank.export.work import MARKER

_PASSED = frozenset([".git", "__pycache__"])
_ENVIRONMENT = "pyvenv.cfg"  # in a folder of packages that pip installed
_OF_RUNS = ".featbank"
_UNFINISHED_EXPORT = ".featbank-export"  # the end of the name of its folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFiles:
    """Paths of files by their names: from the project's folder, or whole where they are elsewhere.

    Args:
        workspace: in no other of these.
        work: below `.featbank`, of runs and their records.
        exports: below the folder of an export, finished or not.
        export_folders: these folders.
        unread: folders that cannot be listed, and why.
    """

    workspace: dict[str, str] = field(default_factory=dict)
    work: dict[str, str] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)
    export_folders: list[Path] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)


def find_files(
    root: Path, caches: Iterable[Path] = (), exports: Iterable[Path] = ()
) -> ProjectFiles:
    """Find the files of a project, links to folders followed once.

    Args:
        root: its folder.
        caches: folders that are passed by.
        exports: folders in which exports are looked for, and nothing else.
    """
    found = ProjectFiles()
    passed = {path.resolve() for path in caches}
    _walk(root, root, found.workspace, found, passed)
    for folder in exports:
        _walk(folder.absolute(), root, {}, found, passed)
    return found


def _walk(
    top: Path, root: Path, files: dict[str, str], found: ProjectFiles, seen: set[Path]
) -> None:
    waiting = [(top, files)]
    while waiting:
        folder, into = waiting.pop()
        if (real := folder.resolve()) in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found.unread[_name(str(folder), root)] = error.strerror or str(error)
            continue
        names = {entry.name for entry in listed}
        if _ENVIRONMENT in names:
            continue
        if into is not found.exports and (
            MARKER in names or folder.name.endswith(_UNFINISHED_EXPORT)
        ):
            into = found.exports
            found.export_folders.append(folder)
        for entry in listed:
            if entry.is_dir():
                if entry.name not in _PASSED and not _is_of_dvc(entry):
                    is_of_runs = into is found.workspace and entry.name == _OF_RUNS
                    waiting.append((Path(entry.path), found.work if is_of_runs else into))
            elif entry.is_file():
                into[_name(entry.path, root)] = entry.path


def _is_of_dvc(entry: os.DirEntry[str]) -> bool:
    """Tell whether a folder is DVC's own, and not the workspace of an experiment in it."""
    return os.path.basename(os.path.dirname(entry.path)) == ".dvc"  # noqa: PTH119, PTH120


def _name(path: str, root: Path) -> str:
    return os.path.relpath(path, root) if path.startswith(f"{root}{os.sep}") else path
