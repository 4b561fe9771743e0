"""Make the writers and readers that a recipe declares."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from featbank.base.building import construct
from featbank.base.trusted import locate_class
from featbank.errors import ConfigError, StoreError
from featbank.feature_io.base import FeatureStorageReader, FeatureStorageWriter, TracedRows
from featbank.feature_io.config import (
    PACKED_READER,
    FeatureStorageConfig,
    FeatureStorageReaderConfig,
    entries_by_name,
    storage_configs,
)
from featbank.feature_io.file_reader import absent
from featbank.feature_io.hdf5_readers import LilcomHdf5Reader, NumpyHdf5Reader
from featbank.feature_io.hdf5_rows import Hdf5Rows
from featbank.feature_io.hdf5_writers import LilcomHdf5Writer, NumpyHdf5Writer
from featbank.feature_io.packed import PackedHdf5Reader, PackedHdf5Writer
from featbank.store import open_verified

_READER_OF = {
    PackedHdf5Writer: PackedHdf5Reader,
    NumpyHdf5Writer: NumpyHdf5Reader,
    LilcomHdf5Writer: LilcomHdf5Reader,
}


def create_feature_storage_writers(
    feature_configs: Iterable[FeatureStorageConfig | Mapping[str, Any]] | Mapping[str, Any],
    base_path: str | Path,
    prefix: str = "",
    suffix: str = "",
    trusted_modules: Sequence[str] = (),
) -> dict[str, FeatureStorageWriter]:
    """Make one writer a feature, at `<base_path>/<prefix><name><suffix>`.

    Args:
        feature_configs: what to write, as a list or by name: see `storage_configs`.
        base_path: folder of all of them.
        prefix: of the names of their files or folders; may name folders: `train/`.
        suffix: of these names: `/train` gives the layout of the pipeline, `<name>/<split>`.
        trusted_modules: packages beside featbank that a dotted `writer_class` may name.

    Returns:
        The writers by feature name. When one cannot be made, none is left open.

    Raises:
        ConfigError: two entries for one feature, a class that is not trusted, or arguments that it
            does not take.
        StoreError: another writer is at work at one of the paths.
    """
    writers: dict[str, FeatureStorageWriter] = {}
    try:
        for config in storage_configs(feature_configs):
            writers[config.name] = _make(
                _resolve(config.writer_class, trusted_modules, FeatureStorageWriter),
                Path(base_path, f"{prefix}{config.name}{suffix}"),
                {"name": config.name, "dtype": config.dtype, **config.writer_kwargs},
                f"storage of {config.name!r}",
            )
    except BaseException:
        for writer in writers.values():
            writer.abort()
        raise
    return writers


def create_feature_storage_readers(
    feature_configs: Iterable[FeatureStorageReaderConfig | FeatureStorageConfig | Mapping[str, Any]]
    | Mapping[str, Any],
    base_path: str | Path,
    prefix: str = "",
    suffix: str = "",
    trusted_modules: Sequence[str] = (),
    must_exist: bool = False,
) -> dict[str, FeatureStorageReader]:
    """Make one reader a feature, at `<base_path>/<prefix><name><suffix>`.

    They are opened when they are first read: a recipe may declare readers in YAML before it has
    computed, or computed anew, what they read. What is there already is looked at now.

    Args:
        feature_configs: what to read, as a list or by name; of a writer's entry, the reader that
            belongs to its class.
        base_path: folder of all of them.
        prefix: of the names of their files or folders.
        suffix: of these names.
        trusted_modules: packages beside featbank that a dotted `reader_class` may name.
        must_exist: refuse what is not there yet.

    Returns:
        The readers by feature name.

    Raises:
        ConfigError: two entries for one feature, or a class that is not trusted or not known.
        StoreError: something else is there, or it is damaged, or nothing is and it must.
    """
    readers: dict[str, FeatureStorageReader] = {}
    for config in entries_by_name(feature_configs).values():
        found = _reader_config(config, trusted_modules)
        kind = _resolve(found.reader_class, trusted_modules, FeatureStorageReader)
        arguments = dict(found.reader_kwargs or {})
        if "name" in signature(kind).parameters:
            arguments.setdefault("name", found.name)
        reader = readers[found.name] = _make(
            kind,
            Path(base_path, f"{prefix}{found.name}{suffix}"),
            arguments,
            f"storage of {found.name!r}",
        )
        if must_exist and not os.path.lexists(reader.storage_path):
            raise absent(reader.storage_path)
    return readers


def open_published(
    writer: FeatureStorageWriter, path: str | Path | None = None
) -> TracedRows | None:
    """Open what stands where a writer will publish, to take rows over.

    Args:
        writer: of the kind of files.
        path: where they stand; by default where the writer publishes.

    Returns:
        None where nothing whole stands there, or its files say nothing of where rows come from.
    """
    try:
        if isinstance(writer, PackedHdf5Writer):
            return open_verified(path or writer.storage_path)
        if isinstance(writer, NumpyHdf5Writer | LilcomHdf5Writer):
            return Hdf5Rows(Path(path or writer.storage_path))
    except StoreError:
        return None
    return None


def stated_origin(reader: FeatureStorageReader) -> tuple[str, Mapping[str, Any]] | None:
    """Return the fingerprint and the provenance that what a reader reads was written with.

    Returns:
        Empty ones where nothing was stated; None where its files could not say.
    """
    if isinstance(reader, PackedHdf5Reader):
        return reader.fingerprint, reader.provenance
    if isinstance(reader, NumpyHdf5Reader | LilcomHdf5Reader):
        rows = Hdf5Rows(reader.storage_path)
        try:
            return rows.fingerprint, rows.provenance
        finally:
            rows.close()
    return None


def _reader_config(
    config: FeatureStorageReaderConfig | FeatureStorageConfig | Mapping[str, Any],
    trusted_modules: Sequence[str],
) -> FeatureStorageReaderConfig:
    if isinstance(config, Mapping):
        if not {"writer_class", "writer_kwargs", "dtype"} & set(config):
            return construct(FeatureStorageReaderConfig, config, "feature_configs")
        config = construct(FeatureStorageConfig, config, "feature_configs")
    if isinstance(config, FeatureStorageReaderConfig):
        return config
    writer = _resolve(config.writer_class, trusted_modules, FeatureStorageWriter)
    while isinstance(writer, functools.partial):
        writer = writer.func
    if writer not in _READER_OF:
        raise ConfigError(
            f"storage of {config.name!r}",
            expected="a FeatureStorageReaderConfig",
            got=f"only a writer, {writer!r}",
            hint=f"the reader of packed stores is {PACKED_READER}",
        )
    return FeatureStorageReaderConfig(config.name, _READER_OF[writer])


def _resolve(
    named: str | Callable[..., Any], trusted_modules: Sequence[str], kind: type
) -> type | Callable[..., Any]:
    return locate_class(named, trusted_modules, (kind,)) if isinstance(named, str) else named


def _make(
    found: type | Callable[..., Any], path: Path, arguments: Mapping[str, Any], where: str
) -> Any:
    """Call a class with the path as its first argument and the others by name, checked."""
    if not isinstance(found, type):
        return found(path, **arguments)
    first = next(iter(signature(found).parameters))
    return construct(found, {first: path, **arguments}, where)
