"""Exports that were made from what holds somebody: their records name stores and manifests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

from featbank.errors import StoreError
from featbank.export.work import MADE_FROM, MARKER
from featbank.files.json_files import read_json
from featbank.pipeline.holdings import Holding

_MAX_RECORD = 1 << 30


def held_exports(
    folders: Sequence[Path],
    root: Path,
    held: Set[str],
    known: Set[str],
    miss: Callable[[str, str], None],
) -> Iterator[Holding]:
    """Give the exports that were made from what holds somebody.

    Args:
        folders: of exports, finished or not.
        root: the project's folder.
        held: digests of headers of stores, and of manifests, that hold somebody.
        known: digests of all headers that were scanned.
        miss: told of an export that cannot be judged, and why.
    """
    for folder in folders:
        path = os.path.relpath(folder, root) if folder.is_relative_to(root) else str(folder)
        try:
            stores, manifests = _made_from(folder)
        except StoreError as error:
            miss(path, str(error))
            continue
        if held & (stores | manifests):
            yield Holding(place="export", path=path, kind="export", why="made")
        elif lacking := stores - known:
            miss(path, f"{len(lacking)} of the stores that it was made from are nowhere else")


def _made_from(folder: Path) -> tuple[set[str], set[str]]:
    """Return the digests of the stores and the manifests that an export was made from.

    Raises:
        StoreError: its record is damaged, or none.
    """
    marker = folder / MARKER
    record = marker if marker.exists() else folder / MADE_FROM
    said: Any = read_json(record, what="export", error=StoreError, max_bytes=_MAX_RECORD)
    try:
        splits = said.get("made_from", said)["splits"].values()
        stores = {str(digest) for split in splits for digest in split["stores"].values()}
        return stores, {str(split["manifest"]) for split in splits if split["manifest"]}
    except (LookupError, TypeError, AttributeError) as error:
        raise StoreError(str(record), expected="what it was made from", got=error) from error
