"""Read the list of utterances that failed, held against the digest in the header of their store."""

from __future__ import annotations

import hashlib
from pathlib import Path

from featbank.base.failures import Failure, read_failures
from featbank.errors import FeatbankError, StoreError
from featbank.files.opening import open_regular
from featbank.store.format import FAILURES_NAME
from featbank.store.header import StoreHeader
from featbank.store.healing import heal


def failures_digest(folder: Path) -> str:
    """Return the SHA-256 of a store's failure list, in hexadecimal; empty when there is none.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    try:
        with open_regular(folder / FAILURES_NAME) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def read_listed_failures(folder: Path, header: StoreHeader) -> list[Failure]:
    """Read the failure list of a store.

    Raises:
        StoreError: it is not the one that the header vouches for.
    """
    where, hint = f"failure list {folder / FAILURES_NAME}", heal(folder)
    try:
        found = failures_digest(folder)
        failures = read_failures(folder / FAILURES_NAME) if found == header.failures_digest else []
    except (FeatbankError, OSError, ValueError) as error:
        raise StoreError(where, expected="its rows", got=error, hint=hint) from error
    if found != header.failures_digest:
        raise StoreError(
            where, expected=_named(header.failures_digest), got=_named(found), hint=hint
        )
    if len(failures) != header.num_failures:
        raise StoreError(where, expected=f"{header.num_failures} rows", got=len(failures))
    return failures


def _named(digest: str) -> str:
    return f"digest {digest}" if digest else "no such file"
