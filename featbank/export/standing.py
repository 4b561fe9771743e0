"""What stands in the place of an export: nothing, the same one, or what may not be lost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featbank.base.progress import progress_bar
from featbank.errors import StoreError
from featbank.export.finished import FinishedFile, from_json
from featbank.export.work import MARKER
from featbank.files.json_files import read_json
from featbank.files.provenance import canonical_json

_ANEW = "remove the folder, if nothing in it is yours, and export again"
_MAX_RECORD = 1 << 30


def find_standing(
    out: Path, made_from: Mapping[str, Any], *, replace: bool, show: bool | None = None
) -> Mapping[str, FinishedFile] | None:
    """Return the files of an export that is there, each read and held against its digest.

    Args:
        out: its folder.
        made_from: what it should be made from.
        replace: an export of something else, or one that was changed.
        show: progress; as of `progress_bar`.

    Returns:
        The files by name; None where the place is free, or what is there is to be replaced.

    Raises:
        StoreError: something else is there that may not be replaced.
    """
    if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
        return None
    marker = _read_marker(out) if out.is_dir() and not out.is_symlink() else None
    if marker is None:
        raise StoreError(
            f"export {out}",
            expected="a free place",
            got="something there that is no export",
            hint="choose another place, or remove it",
        )
    found, files = marker
    if foreign := sorted(_names(out) - files.keys()):
        raise StoreError(
            f"export {out}",
            expected="nothing in it but what was exported",
            got=foreign[0],
            hint="move your own files away, or choose another place",
        )
    others = [key for key in made_from if _differs(found, made_from, key)]
    changed = None if others else _changed(out, files, show)
    if not others and changed is None:
        return files
    if not replace:
        raise StoreError(
            f"export {out}",
            expected="a free place, or the same export as it was written",
            got=f"one that differs in {', '.join(others)}" if others else f"{changed} changed",
            hint="replace it with --replace, in Python replace=True",
        )
    return None


def _read_marker(out: Path) -> tuple[Mapping[str, Any], Mapping[str, FinishedFile]] | None:
    """Return what an export was made from, and its files; None for no export.

    Raises:
        StoreError: its record is damaged.
    """
    if not os.path.lexists(out / MARKER):
        return None
    said = read_json(
        out / MARKER, what="export", error=StoreError, hint=_ANEW, max_bytes=_MAX_RECORD
    )
    try:
        return dict(said["made_from"]), from_json(said["files"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"export {out}",
            expected="its record as it was written",
            got=f"another: {error}",
            hint=_ANEW,
        ) from error


def _names(out: Path) -> set[str]:
    """Return the names of all files and links in an export but its record."""
    return {
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if (path.is_file() or path.is_symlink()) and path.name != MARKER
    }


def _differs(found: Mapping[str, Any], made_from: Mapping[str, Any], key: str) -> bool:
    return canonical_json(found.get(key)) != canonical_json(made_from[key])


def _changed(out: Path, files: Mapping[str, FinishedFile], show: bool | None) -> str | None:
    """Return the first file whose bytes are not those that were written; None for none."""
    with progress_bar(f"check of {out.name}", len(files), unit="files", show=show) as advance:
        for name, one in files.items():
            if not one.is_at(out / name):
                return name
            advance(1)
    return None
