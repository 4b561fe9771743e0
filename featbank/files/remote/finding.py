"""What there is below a folder, wherever it lies: files by name or pattern, and folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import accumulate, takewhile
from pathlib import Path, PurePosixPath

from featbank.files.remote.paths import AnyPath, RemotePath
from featbank.files.remote.requests import list_remote, stat_remote, walk_remote

_LISTED = 64  # folders whose names are remembered: rows that follow each other share folders
_WILD = frozenset("*?[")


def exists(path: AnyPath) -> bool:
    """Tell whether anything has the name of a file; on another machine, by one request for a file.

    Raises:
        RemoteError: the server cannot be asked.
    """
    if isinstance(path, Path):
        return path.exists()
    try:
        stat_remote(path)
    except FileNotFoundError:
        return False
    return True


class FileLookup:
    """Tells of many files whether they are there: a folder of another machine is listed once."""

    def __init__(self) -> None:
        self._names_in = lru_cache(_LISTED)(_names_in)

    def is_file(self, path: AnyPath) -> bool:
        """Tell whether a file is there.

        Raises:
            RemoteError: the server cannot be asked.
        """
        if isinstance(path, Path):
            return path.is_file()
        if path.is_http:  # which need not list folders
            return exists(path)
        return path.name in self._names_in(path.parent)


def _names_in(folder: RemotePath) -> frozenset[str]:
    return frozenset(name for name, is_folder in list_remote(folder) if not is_folder)


def folders_in(folder: AnyPath) -> list[str]:
    """Return the names of the folders in a folder, sorted.

    Raises:
        OSError: it cannot be listed; a `RemoteError` is that of a server.
    """
    if isinstance(folder, Path):
        return sorted(path.name for path in folder.iterdir() if path.is_dir())
    return sorted(name for name, is_folder in list_remote(folder) if is_folder)


def find(root: AnyPath, pattern: str) -> list[str]:
    """Return what is below a folder and fits a pattern, as paths relative to it, sorted.

    On another machine, all below the part of the pattern without wildcards is listed.

    Args:
        root: the folder.
        pattern: as of `Path.glob`: `*/*.tar`, `**/*.parquet`.

    Raises:
        RemoteError: a folder cannot be listed.
    """
    if isinstance(root, Path):
        return sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))
    return sorted(set(_fitting(_with_folders(_below(root, pattern)), pattern)))


def find_files(root: AnyPath, pattern: str) -> list[str]:
    """Return the files below a folder that fit a pattern; see `find`."""
    if isinstance(root, Path):
        return [name for name in find(root, pattern) if (root / name).is_file()]
    return sorted(_fitting(_below(root, pattern), pattern))


def _below(root: AnyPath, pattern: str) -> Iterator[str]:
    """Give the files of another machine among which those of a pattern are."""
    assert not isinstance(root, Path)
    plain = takewhile(lambda part: not _WILD & set(part), PurePosixPath(pattern).parts[:-1])
    return walk_remote(root, "/".join(plain))


def _with_folders(names: Iterable[str]) -> Iterator[str]:
    """Give names of files, and of the folders that they are in."""
    for name in names:
        yield from accumulate(name.split("/"), "{}/{}".format)


def _fitting(names: Iterable[str], pattern: str) -> Iterator[str]:
    parts = PurePosixPath(pattern).parts
    return (name for name in names if _fits(name.split("/"), parts))


def _fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_fits(names[skipped:], pattern[1:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _fits(names[1:], pattern[1:])
