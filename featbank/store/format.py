"""The format of a store: a folder with `header.json`, shards, and `failures.jsonl` if any failed.

The header is written last, so a folder with a header is a whole store. A shard `<16 hex>.h5` is one
HDF5 file, rows sorted by id, of these datasets, each contiguous and aligned to 64 bytes:

    values         (num_frames, *shape)     the rows one after the other, as `encoding` stores them
    row_starts     (num_rows + 1, 2) int64  first frame and first byte of the id of each row, then
                                            the totals
    id_bytes       (total,) uint8           the ids in UTF-8, one after the other
    id_slots       (num_slots,) uint64      hash index of the ids: see `id_index`
    checksums      (num_rows,) uint64       XXH3-64 of the bytes of each row in `values`
    scales         (num_rows, *shape) float32   of `int8_scaled` alone: value = stored * scale
    rounding_errors  (num_rows, 2) float64  of floats alone: the greatest and the summed absolute
                                            error that narrowing made in each row
    input_digests  (num_rows, 16) uint8     digest of what the extractor saw of each row, zeros for
                                            none; absent where no row states one

and the attributes format, format_version, name, dtype, fingerprint and numerics (canonical JSON).
Where `compression` is chosen, `values` alone is chunked and compressed, which plain h5py undoes.

Stores that are published together as the splits of one feature stand in one folder, and beside them
`splits.json` states which they are, and the digest of the header of each.

The digest of a shard, which the header lists, is the SHA-256 of the whole file but the bytes of
contiguous `values`; those stand under the checksums, so that damage is found by row. The header's
own `digest` is the SHA-256 of the canonical JSON of its other fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from featbank.errors import StoreError

STORE_FORMAT = "featbank-store"
SHARD_FORMAT = "featbank-shard"
FORMAT_VERSION = 4
HEADER_NAME = "header.json"
FAILURES_NAME = "failures.jsonl"
SPLITS_NAME = "splits.json"
SPLITS_FORMAT = "featbank-splits"
SPLITS_VERSION = 1
COMPRESSIONS = ("zstd", "blosc")
ALIGNMENT = 64
DIGEST_BYTES = 16
NO_DIGEST = bytes(DIGEST_BYTES)
"""Stands in a shard for an input digest that was not stated."""


def check_format(
    fields: Any, expected_format: str, where: str, expected_version: int = FORMAT_VERSION
) -> None:
    """Refuse what is not `expected_format`, or is of a version this code does not know.

    Raises:
        StoreError: foreign, newer, older, or without a version.
    """
    found = fields.get("format") if isinstance(fields, Mapping) else type(fields).__name__
    if found != expected_format:
        raise StoreError(where, expected=f"format {expected_format!r}", got=repr(found))
    version = int(typed_field(fields, "format_version", (int, np.integer), where))
    if version != expected_version:
        raise StoreError(
            where,
            expected=f"format_version {expected_version}",
            got=version,
            hint="install a newer featbank"
            if version > expected_version
            else "run the stage that makes it again, by hand with overwrite=true; "
            "in a recipe, call cache_features",
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
