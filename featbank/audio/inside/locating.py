"""Paths that lead into a file, told from those of files, as they are on this disk."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from featbank.base.places import Place
from featbank.files.remote import is_remote

_INSIDE = "!/"


def find_place(path: str | Path) -> Place | None:
    """Return the place that a path leads to inside a file; None for a file of its own.

    A folder's name may end with `!`, too: what stands before `!/` is a container where it is there
    and no folder. Of another machine, where asking costs a request, it is one in any case where
    the path says which bytes, or which cell of a `.parquet`.

    Args:
        path: of a corpus root, joined with the name of a `Place` or of a file.
    """
    text = os.fspath(path)
    if is_remote(text):
        place = Place.parse(text)
        is_one = place and (place.start is not None or place.container.endswith(".parquet"))
        return place if is_one else None
    at = text.find(_INSIDE)
    while at > 0:
        if _is_container(text[:at]) and (place := Place.parse(f"x{text[at:]}")):
            return replace(place, container=text[:at])
        at = text.find(_INSIDE, at + 1)
    return None


def file_on_disk(path: str | Path) -> str | Path:
    """Return the path of the file that holds what a path leads to: most often that path itself."""
    if _INSIDE not in os.fspath(path) or (place := find_place(path)) is None:
        return path
    return place.container


def _is_container(path: str) -> bool:
    try:
        return not stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - asked for each utterance
    except (OSError, ValueError):
        return False  # opening it tells what is wrong
