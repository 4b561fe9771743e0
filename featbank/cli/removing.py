"""Removal of a store's damaged files, so that nothing links them back and they are made anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from featbank.base.printing import print_line
from featbank.errors import StoreError
from featbank.files.json_files import MAX_BYTES
from featbank.files.opening import read_regular
from featbank.pipeline.dvc_outputs import drop_damaged
from featbank.store import FORMAT_VERSION, HEADER_NAME, Store, read_header
from featbank.store.format import SPLITS_NAME, SPLITS_VERSION
from featbank.store.joining import is_store, survey
from featbank.store.splits import read_splits


def remove_damaged(path: Path) -> None:
    """Remove the damaged files of a store, or of all stores below a folder, and say so.

    Out of DVC's cache, too, where it has them: it would link them back.

    Raises:
        StoreError: there is no store, or one of another version of the format.
    """
    damaged = list(_damaged(path))
    objects = drop_damaged(damaged)
    for file in (*damaged, *objects):
        file.unlink(missing_ok=True)
        print_line(f"removed {file}")
    _, absent = survey(path) if path.is_dir() and not is_store(path) else ({}, [])
    for problem in absent:  # files that are not there, or not of this store
        print_line(str(problem))
    print_line(
        "run the stage that makes the store, or dvc pull"
        if damaged or absent
        else "nothing is damaged"
    )


def _damaged(path: Path) -> Iterator[Path]:
    """Give the files that are there, and not as they were written."""
    for folder in _store_folders(path):
        header = folder / HEADER_NAME
        try:
            store = Store(folder)
        except StoreError:
            if not _is_damaged(header, FORMAT_VERSION):
                raise
            yield header
            continue
        for damage in store.verify():
            if Path(damage.shard).is_file():
                yield Path(damage.shard)
    for statement in _below(path, SPLITS_NAME):
        try:
            read_splits(statement.parent)
        except StoreError:
            if not _is_damaged(statement, SPLITS_VERSION):
                raise
            yield statement


def _store_folders(path: Path) -> list[Path]:
    if (path / HEADER_NAME).is_file():
        return [path]
    found = _below(path, HEADER_NAME)
    if not found:
        read_header(path)  # says what is missing
    return [header.parent for header in found]


def _below(path: Path, name: str) -> list[Path]:
    """Return the files of a name below a folder; hidden folders are unfinished stores."""
    return sorted(
        found
        for found in path.rglob(name)
        if not any(part.startswith(".") for part in found.relative_to(path).parts)
    )


def _is_damaged(path: Path, version: int) -> bool:
    """Tell whether what cannot be read is damaged, and not of another version of its format."""
    try:
        fields = json.loads(read_regular(path, MAX_BYTES))
    except (ValueError, RecursionError):
        return True
    except OSError:  # no file, which nothing of ours has put there
        return False
    return isinstance(fields, dict) and fields.get("format_version") == version
