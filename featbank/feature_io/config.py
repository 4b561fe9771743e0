"""How the features of an extractor are stored, as a YAML recipe declares it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featbank.errors import ConfigError
from featbank.store import ENCODINGS, SHARD_BYTES, find_encoding
from featbank.store.compression import check_compression
from featbank.store.dtypes import DTypeLike, dtype_name
from featbank.trusted import check_name, check_type, construct

PACKED_WRITER = "featbank.feature_io.PackedHdf5Writer"
PACKED_READER = "featbank.feature_io.PackedHdf5Reader"
_FLOATS = ("float32", "float16", "bfloat16", "int8_scaled")
_CODES = ("uint8", "uint16", "int16", "int32", "int64")
_STAGE_KWARGS = frozenset(["shard_bytes", "compression"])


@dataclass(frozen=True, slots=True, init=False)
class FeatureStorageConfig:
    """Storage of one feature.

    Args:
        name: the feature's name: a key of the dicts that `compute_features` returns.
        dtype: what its values are stored as, by name or as NumPy or torch has it; the attribute is
            the name. See `featbank.store.ENCODINGS`.
        writer_class: a dotted path, a class, or a callable as HyperPyYAML's `!name:` gives it.
        writer_kwargs: further arguments of it: for the packed writer `shard_bytes`, `compression`,
            `time_axis`, `codebook_size`, `frame_rate`, `provenance` and so on.

    Raises:
        ConfigError: the name could not be a folder, or stores do not hold the dtype.
    """

    name: str
    dtype: str
    writer_class: str | Callable[..., Any]
    writer_kwargs: Mapping[str, Any]

    def __init__(
        self,
        name: str,
        dtype: DTypeLike = "float32",
        writer_class: str | Callable[..., Any] = PACKED_WRITER,
        writer_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        check_name(name, "storage: name")
        found = dtype_name(dtype)
        if found not in ENCODINGS:
            raise ConfigError(
                f"storage of {name!r}: dtype", expected=" or ".join(ENCODINGS), got=dtype
            )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "dtype", found)
        object.__setattr__(self, "writer_class", writer_class)
        object.__setattr__(self, "writer_kwargs", {} if writer_kwargs is None else writer_kwargs)

    @property
    def shard_bytes(self) -> int:
        """The size in bytes around which shards are cut."""
        size: int = self.writer_kwargs.get("shard_bytes", SHARD_BYTES)
        return size

    @property
    def compression(self) -> str | None:
        """Of the values."""
        name: str | None = self.writer_kwargs.get("compression")
        return name

    @property
    def itemsize(self) -> int:
        """Bytes a value."""
        return find_encoding(self.dtype).stored.itemsize


@dataclass(frozen=True, slots=True)
class FeatureStorageReaderConfig:
    """How one feature is read.

    Args:
        name: of the feature.
        reader_class: a dotted path, a class, or a callable as HyperPyYAML's `!name:` gives it.
        reader_kwargs: further arguments of it.

    Raises:
        ConfigError: the name could not be a folder.
    """

    name: str
    reader_class: str | Callable[..., Any] = PACKED_READER
    reader_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name, "storage: name")


def storage_configs(
    feature_configs: Iterable[FeatureStorageConfig | Mapping[str, Any]] | Mapping[str, Any],
) -> list[FeatureStorageConfig]:
    """Return the storage of each feature, however a recipe lists them.

    Args:
        feature_configs: one entry a feature, as objects or as YAML gives them: in a list, or in a
            mapping by the features' names, in which an entry may leave out its name.

    Raises:
        ConfigError: an entry is not right or under another name than its own, there are two of one
            feature, or none at all.
    """
    return [
        entry
        if isinstance(entry, FeatureStorageConfig)
        else construct(FeatureStorageConfig, entry, "feature_configs")
        for entry in entries_by_name(feature_configs).values()
    ]


def entries_by_name(feature_configs: Any) -> dict[str, Any]:
    """Return the entries of a list, or of a mapping by name, by their features' names.

    Raises:
        ConfigError: as of `storage_configs`.
    """
    found: dict[str, Any] = {}
    for name, entry in _listed(feature_configs):
        if name in found:
            raise ConfigError(f"storage of {name!r}", expected="one entry", got="two")
        found[name] = entry
    if not found:
        raise ConfigError("feature_configs", expected="one entry a feature", got="none")
    return found


def _listed(feature_configs: Any) -> Iterator[tuple[Any, Any]]:
    """Give each entry, with its name in it, and that name."""
    kinds = (FeatureStorageConfig, FeatureStorageReaderConfig, Mapping)
    if isinstance(feature_configs, str) or not isinstance(feature_configs, Iterable):
        raise ConfigError(
            "feature_configs",
            expected="a list of entries, or a mapping of them by name",
            got=repr(feature_configs),
            hint="put a single entry into a list",
        )
    by_name = isinstance(feature_configs, Mapping)
    pairs = feature_configs.items() if by_name else ((None, one) for one in feature_configs)
    for key, entry in pairs:
        if not isinstance(entry, kinds):
            raise ConfigError(
                f"feature_configs: {key}" if by_name else "feature_configs",
                expected="an entry such as FeatureStorageConfig",
                got=repr(entry),
                hint="put a single entry into a list",
            )
        if by_name and isinstance(entry, Mapping):
            entry = {"name": key, **entry}
        name = entry.get("name") if isinstance(entry, Mapping) else entry.name
        check_name(name, "feature_configs: name")
        if by_name and name != key:
            raise ConfigError(f"feature_configs: {key}: name", expected=repr(key), got=repr(name))
        yield name, entry


def read_storage(entries: Sequence[Mapping[str, Any]]) -> list[FeatureStorageConfig]:
    """Read the storage entries of a stage, which writes packed stores.

    Raises:
        ConfigError: an entry has a key that there is not, lacks its name, or has a wrong value.
    """
    found = [construct(FeatureStorageConfig, entry, "feature.storage") for entry in entries]
    for entry in found:
        _check_for_stage(entry)
    return found


def _check_for_stage(entry: FeatureStorageConfig) -> None:
    where = f"storage of {entry.name!r}"
    if not isinstance(entry.writer_kwargs, Mapping):
        raise ConfigError(
            f"{where}: writer_kwargs",
            expected="a mapping: {shard_bytes: 67108864}",
            got=repr(entry.writer_kwargs),
        )
    if entry.writer_class != PACKED_WRITER:
        raise ConfigError(
            f"{where}: writer_class",
            expected=PACKED_WRITER,
            got=entry.writer_class,
            hint="other files are written by FeatureBrain.cache_features",
        )
    if unknown := sorted(set(entry.writer_kwargs) - _STAGE_KWARGS):
        raise ConfigError(
            f"{where}: writer_kwargs",
            expected=" or ".join(sorted(_STAGE_KWARGS)),
            got=", ".join(unknown),
        )
    check_type(entry.shard_bytes, int, f"{where}: shard_bytes")
    if entry.shard_bytes <= 0:
        raise ConfigError(f"{where}: shard_bytes", expected="over 0", got=entry.shard_bytes)
    check_compression(entry.compression)


def _check_dtype(entry: FeatureStorageConfig, codebook_size: int | None) -> None:
    """Refuse to store floats as integers, or codes as floats or as integers too small for them.

    Args:
        entry: how a feature is stored.
        codebook_size: of codes; None for floats.

    Raises:
        ConfigError: the dtype cannot hold the feature.
    """
    dtypes: Sequence[str] = _FLOATS
    if codebook_size is not None:
        dtypes = [name for name in _CODES if np.iinfo(name).max >= codebook_size - 1]
    if entry.dtype not in dtypes:
        raise ConfigError(
            f"storage of {entry.name!r}: dtype", expected=" or ".join(dtypes), got=entry.dtype
        )


def storage_by_name(
    entries: Iterable[FeatureStorageConfig], codebook_sizes: Mapping[str, int | None]
) -> dict[str, FeatureStorageConfig]:
    """Match storage entries with the features an extractor computes, one each.

    Args:
        entries: one a feature.
        codebook_sizes: of the features, by name; None for floats.

    Raises:
        ConfigError: a feature has no entry, or an entry no feature, or two; or its dtype cannot
            hold it.
    """
    found: dict[str, FeatureStorageConfig] = {}
    for entry in entries:
        if entry.name in found:
            raise ConfigError(f"storage of {entry.name!r}", expected="one entry", got="two")
        found[entry.name] = entry
    if set(found) != set(codebook_sizes):
        raise ConfigError(
            "storage",
            expected=f"one entry for each of {', '.join(sorted(codebook_sizes))}",
            got=", ".join(sorted(found)) or "none",
        )
    for name, entry in found.items():
        _check_dtype(entry, codebook_sizes[name])
    return found
