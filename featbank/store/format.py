"""What a store is on disk: a folder with `header.json`, shards, and `failures.jsonl` if any failed.

The header is written last, so a folder with a header is a whole store. A shard `<16 hex>.h5` is one
HDF5 file of contiguous, uncompressed datasets, each aligned to 64 bytes, rows sorted by id:

    values         (num_frames, *shape)   the rows one after the other
    offsets        (num_rows + 1,) int64  first frame of each row, then the total
    id_bytes       (total,) uint8         the ids in UTF-8, one after the other
    id_offsets     (num_rows + 1,) int64  first byte of each id, then the total
    input_digests  (num_rows, 16) uint8   digest of what the extractor saw of each row, or zeros

and the attributes format, format_version, name, fingerprint and numerics (canonical JSON).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from featbank.errors import StoreError

STORE_FORMAT = "featbank-store"
SHARD_FORMAT = "featbank-shard"
FORMAT_VERSION = 1
HEADER_NAME = "header.json"
FAILURES_NAME = "failures.jsonl"
ALIGNMENT = 64
DIGEST_BYTES = 16
NO_DIGEST = bytes(DIGEST_BYTES)
"""Stands in a shard for an input digest that was not stated."""

STORED_DTYPES = frozenset(
    ["float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


def stored_dtype(name: str) -> np.dtype[Any]:
    """Return the little-endian NumPy dtype that a store writes for `name`.

    Raises:
        StoreError: stores do not hold that dtype.
    """
    if name not in STORED_DTYPES:
        raise StoreError(
            "dtype of a store",
            expected=f"one of {', '.join(sorted(STORED_DTYPES))}",
            got=repr(name),
        )
    # by its text, for `newbyteorder` gives a dtype that memoryview takes for a foreign order
    return np.dtype(np.dtype(name).newbyteorder("<").str)


def check_format(fields: Any, expected_format: str, where: str) -> None:
    """Refuse what is not `expected_format`, or is of a version this code does not know.

    Raises:
        StoreError: foreign, newer, or without a version.
    """
    found = fields.get("format") if isinstance(fields, Mapping) else type(fields).__name__
    if found != expected_format:
        raise StoreError(where, expected=f"format {expected_format!r}", got=repr(found))
    version = int(typed_field(fields, "format_version", (int, np.integer), where))
    if not 1 <= version <= FORMAT_VERSION:
        raise StoreError(
            where,
            expected=f"format_version up to {FORMAT_VERSION}",
            got=version,
            hint="install a newer featbank" if version > FORMAT_VERSION else "",
        )


def typed_field(fields: Mapping[str, Any], name: str, kinds: tuple[type, ...], where: str) -> Any:
    """Return a field of parsed JSON, or of attributes, that is of one of `kinds`.

    Raises:
        StoreError: it is missing or of another type.
    """
    value = fields.get(name)
    if name not in fields or not isinstance(value, kinds) or isinstance(value, bool):
        wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        got = repr(value) if name in fields else "no such field"
        raise StoreError(f"{where}: {name}", expected=wanted, got=got)
    return value
