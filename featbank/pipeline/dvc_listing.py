"""Objects of DVC that list the files of a folder."""

from __future__ import annotations

import re
from typing import Any

from featbank.base.manifest import check_id
from featbank.errors import FeatbankError, StoreError
from featbank.files.json_files import parse_json

OBJECT = re.compile(r"[0-9a-f]{32}(\.dir)?")
"""The name of an object."""


def parse_listing(
    data: bytes, where: str, error: type[FeatbankError] = StoreError
) -> dict[str, str]:
    """Return the names of the objects that a folder object lists, by their paths in the folder.

    Raises:
        FeatbankError: as `error`, where it lists something else.
    """
    entries: list[dict[str, Any]] = parse_json(data, where, error, kind=list)
    try:
        listed = {entry["relpath"]: entry["md5"] for entry in entries}
    except (KeyError, TypeError) as wrong:
        raise error(where, expected="paths and digests", got=wrong) from wrong
    for path, digest in listed.items():
        check_id(path, error)  # which stays in its folder
        check_object(digest, error)
    return listed


def check_object(digest: Any, error: type[FeatbankError] = FeatbankError) -> str:
    """Return the name of an object, if it is one.

    Raises:
        FeatbankError: as `error`, where it is none.
    """
    if not isinstance(digest, str) or not OBJECT.fullmatch(digest):
        raise error("name of an object", expected="32 hex digits", got=repr(digest))
    return digest
