"""Decide whether a store may take the place of the one that is there."""

from __future__ import annotations

from pathlib import Path

from featbank.errors import StoreError
from featbank.store.format import HEADER_NAME
from featbank.store.header_file import read_header
from featbank.store.healing import heal


def refuse_other_content(path: Path, fingerprint: str, *, overwrite: bool = False) -> None:
    """Let a store be replaced only by one made in the same way.

    Args:
        path: of the store to be.
        fingerprint: of the store to be.
        overwrite: let any store be replaced.

    Raises:
        StoreError: a store is there that was made in another way, or whose header is damaged.
    """
    if overwrite or not (path / HEADER_NAME).is_file():
        return
    try:
        found = read_header(path).fingerprint
    except StoreError as error:
        raise StoreError(
            error.what,
            expected=error.expected,
            got=error.got,
            hint=f"overwrite=true makes all of store {path} anew; or {error.hint or heal(path)}",
        ) from error
    if found != fingerprint:
        raise StoreError(
            f"store {path} was made in another way",
            expected=f"fingerprint {fingerprint[:12]}",
            got=f"{found[:12]}",
            hint="give the new one a name of its own (feature.name=... or tokenizer.name=...), "
            "or replace it with overwrite=true",
        )
