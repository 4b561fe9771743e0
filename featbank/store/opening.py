"""Open a store, wherever it lies: a folder is mapped, what lies elsewhere is fetched in pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featbank.errors import ConfigError
from featbank.store.reader import Store
from featbank.store.remote.elsewhere import is_url, locate, was_url
from featbank.store.remote.store import open_remote


def open_store(
    path: str | Path,
    splits: str | Sequence[str] | None = None,
    *,
    cache_bytes: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Store:
    """Open a store, or a folder of stores of one feature (its splits) as one.

    `splits` names those that are read, one or several; the others need not be there.

    Only headers are read; a shard is opened when an id in it is asked for. The store may be used
    from threads and forked processes, and pickles as its path. When another one takes its place,
    opened shards stay good; what would open one of the others is an error, for they are gone.

    Args:
        path: of a folder, or a URL: `s3://bucket/...`, `gs://`, `ssh://`, `https://`.
        splits: those that are read; all by default.
        cache_bytes: how much of this disk may hold what was read from anywhere elsewhere; see
            `featbank.store.remote.cache`. 0 keeps nothing but what is in use. A folder needs none.
        storage_options: of a URL alone: what fsspec's file system of that scheme takes, such as
            `{"endpoint_url": ...}` for s3.

    Raises:
        StoreError: no store there, a damaged one, one that is not the split that was published in
            its place, or stores that do not belong together.
        ConfigError: a URL of a kind that cannot be opened, or options for a folder.
    """
    if is_url(path):
        return open_remote(locate(str(path), storage_options), splits, cache_bytes=cache_bytes)
    if storage_options is not None or (isinstance(path, Path) and was_url(path)):
        raise ConfigError(
            f"store {path}",
            expected="a URL as a text, such as 's3://bucket/store'",
            got="a path" if storage_options is None else "storage_options for a folder",
        )
    store = Store(path, splits)
    store.refuse_misplaced()
    return store
