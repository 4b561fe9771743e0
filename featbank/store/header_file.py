"""Read and write `header.json`, which states a digest of its own fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featbank.errors import StoreError
from featbank.files.json_files import parse_json
from featbank.files.opening import read_regular
from featbank.files.provenance import canonical_json, digest, readable_json
from featbank.store.format import HEADER_NAME, typed_field
from featbank.store.header import StoreHeader
from featbank.store.healing import heal, instead_of_absent

MAX_HEADER_BYTES = 256 << 20
"""Of `header.json`: some 600,000 shards."""


def header_text(header: StoreHeader) -> str:
    """Return the text of `header.json`: the header, and the digest of its fields."""
    return readable_json({**_fields(header), "digest": header_digest(header)})


def header_digest(header: StoreHeader) -> str:
    """Return the digest that a header states of itself: it stands for a whole store."""
    return digest(_fields(header))


def read_header(folder: str | Path) -> StoreHeader:
    """Read the header of the store in `folder`.

    Raises:
        StoreError: there is no header, or it is foreign, newer or damaged.
    """
    path = Path(folder) / HEADER_NAME
    try:
        data = read_regular(path, MAX_HEADER_BYTES)
    except OSError as error:
        raise StoreError(
            f"store {folder}",
            expected=f"a folder with {HEADER_NAME}",
            got=_instead_of_header(Path(folder), error),
            hint=instead_of_absent(Path(folder)),
        ) from error
    return parse_header(data, str(path), heal(Path(folder)))


def parse_header(data: bytes, where: str, hint: str) -> StoreHeader:
    """Build a header from the bytes of `header.json`.

    Args:
        data: of the file.
        where: it lies, for errors.
        hint: how a damaged one is had again.

    Raises:
        StoreError: it is foreign, newer or damaged.
    """
    fields = parse_json(data, where, StoreError, hint=hint)
    header = StoreHeader.from_json(fields, where)
    # last, for the errors above say more; what they miss would be believed
    _check_digest(fields, where, hint)
    return header


def _fields(header: StoreHeader) -> Any:
    return json.loads(canonical_json(header.to_json()))  # as a reader parses it: all keys texts


def _instead_of_header(folder: Path, error: OSError) -> object:
    """Say what stands where a store should."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return error
    for link in (folder / HEADER_NAME, folder, *folder.parents):
        if link.is_symlink() and not link.exists():
            return f"a link to nowhere, {link}"
    if folder.is_dir():
        return f"no {HEADER_NAME}"
    return "a file" if folder.is_file() else "no folder"


def _check_digest(fields: Mapping[str, Any], where: str, hint: str) -> None:
    stated = typed_field(fields, "digest", (str,), where)
    try:
        found = digest({name: value for name, value in fields.items() if name != "digest"})
    except ValueError as error:  # NaN, or half a surrogate pair
        raise StoreError(where, expected="the fields of a store header", got=error) from error
    if found != stated:
        raise StoreError(
            where,
            expected=f"digest {stated}",
            got=found,
            hint=f"it was changed: {hint}",
        )
