"""Take away what is damaged of a store, so that nothing links it back and it can be had again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from featbank.cli.output import print_line
from featbank.dvc_outputs import drop_damaged
from featbank.errors import StoreError
from featbank.store import FORMAT_VERSION, HEADER_NAME, Store, read_header


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
    print_line(
        "run the stage that makes the store, or dvc pull" if damaged else "nothing is damaged"
    )


def _damaged(path: Path) -> Iterator[Path]:
    """Give the files that are there, and not as they were written."""
    for folder in _store_folders(path):
        header = folder / HEADER_NAME
        try:
            store = Store(folder)
        except StoreError:
            if not _is_damaged(header):
                raise
            yield header
            continue
        for damage in store.verify():
            if Path(damage.shard).is_file():
                yield Path(damage.shard)


def _store_folders(path: Path) -> list[Path]:
    if (path / HEADER_NAME).is_file():
        return [path]
    found = sorted(
        header.parent
        for header in path.rglob(HEADER_NAME)
        # hidden folders are unfinished stores
        if not any(name.startswith(".") for name in header.relative_to(path).parts)
    )
    if not found:
        read_header(path)  # says what is missing
    return found


def _is_damaged(header: Path) -> bool:
    """Tell whether a header that cannot be read is damaged, and not of another version."""
    try:
        fields = json.loads(header.read_bytes())
    except (ValueError, RecursionError):
        return True
    return isinstance(fields, dict) and fields.get("format_version") == FORMAT_VERSION
