"""Laying down of files in a project, and their renewal: nothing that a person wrote is replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from featbank import __version__
from featbank.errors import ConfigError
from featbank.files.opening import read_regular
from featbank.files.provenance import write_atomic
from featbank.project.chosen_files import ProjectChoices
from featbank.project.record import LaidDown, write_laid_down

_NEW = ".new"
_PARTIAL = ".partial"  # the end of the name of a file that is being written
_MAX_BYTES = 16 << 20
_NAMED = 3

_FREE = frozenset([".git", ".gitignore", ".venv", "venv", "corpora", "LICENSE", "README.md"])
"""Names that a folder may hold before a project is laid down there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Laying:
    """What is to be done in a folder.

    Args:
        written: content by path, of files that are absent or as they were laid down.
        beside: content by path, of new versions beside files that a person edited.
        gone: paths that are laid down no more, and are still there.
        record: of what then is laid down.
    """

    written: Mapping[str, bytes]
    beside: Mapping[str, bytes]
    gone: tuple[str, ...]
    record: LaidDown


def plan_laying(
    folder: Path,
    files: Mapping[str, bytes],
    choices: ProjectChoices,
    before: LaidDown | None,
) -> Laying:
    """Find out what is to be written, and write nothing.

    Args:
        folder: of the project, which need not be there.
        files: content by path, as this version has it.
        choices: that the files are of.
        before: what was laid down, of a project that is upgraded.

    Raises:
        ConfigError: the folder holds something else than a project, or a new version that was put
            beside an edited file is not merged yet.
    """
    if before is None:
        _refuse_occupied(folder, files)
    digests = {name: _digest(data) for name, data in files.items()}
    laid = before.files if before else {}
    written, beside = {}, {}
    for name, data in files.items():
        now = _content(folder / name)
        if now == data:
            continue
        if now is None or _digest(now) == laid.get(name):
            written[name] = data
        elif digests[name] != laid.get(name):  # where this version has nothing new, it stays
            beside[f"{name}{_NEW}"] = data
    for name, data in beside.items():
        if _content(folder / name) not in (None, data):
            edited = name.removesuffix(_NEW)
            raise ConfigError(
                str(folder / name),
                expected="nothing there, for the new version of a file that you edited",
                got="a file",
                hint=f"merge it into {edited} and delete it, then type the same again",
            )
    gone = tuple(name for name in sorted(laid.keys() - files.keys()) if (folder / name).exists())
    record = LaidDown(version=__version__, choices=choices, files=digests)
    return Laying(written=written, beside=beside, gone=gone, record=record)


def lay_down(folder: Path, laying: Laying) -> None:
    """Write what is planned, each file whole or not at all, and the record last.

    A person who types the same again after a stop has the rest written.
    """
    for name, data in {**laying.written, **laying.beside}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    write_laid_down(folder, laying.record)


def _refuse_occupied(folder: Path, files: Mapping[str, bytes]) -> None:
    """Refuse a folder that holds more than what a stopped laying down left there."""
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        got = "a link that leads nowhere" if folder.is_symlink() else "a file"
        raise ConfigError(str(folder), expected="a folder, or nothing there", got=got)
    strange = sorted(_strange(folder, files)) if folder.is_dir() else []
    if strange:
        more = ", ..." if len(strange) > _NAMED else ""
        raise ConfigError(
            str(folder),
            expected="an empty folder, or nothing there",
            got=", ".join(strange[:_NAMED]) + more,
            hint="name another folder; audio is linked to, wherever it lies: --root PATH",
        )


def _strange(folder: Path, files: Mapping[str, bytes]) -> Iterator[str]:
    folders = {name.partition("/")[0] for name in files if "/" in name}
    for path in folder.iterdir():
        inside = path.rglob("*") if path.name in folders and path.is_dir() else [path]
        for one in inside:
            name = one.relative_to(folder).as_posix()
            is_ours = name in _FREE or (name in files and _content(one) == files[name])
            is_left = name.endswith(_PARTIAL) or (name != path.name and one.is_dir())
            if not is_ours and not is_left:
                yield name


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path, _MAX_BYTES)
    except FileNotFoundError:
        return None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
