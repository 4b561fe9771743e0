"""How the features of a recipe are stored and read, as its YAML declares it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from featbank.base.building import construct
from featbank.base.folder_names import check_name
from featbank.errors import ConfigError
from featbank.store import ENCODINGS
from featbank.store.given import DTypeLike, dtype_name

PACKED_WRITER = "featbank.feature_io.PackedHdf5Writer"
PACKED_READER = "featbank.feature_io.PackedHdf5Reader"


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
    reader_kwargs: Mapping[str, Any] | None = None

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
    where, hint = "feature_configs", "put a single entry into a list"
    if isinstance(feature_configs, Mapping):
        for key, entry in feature_configs.items():
            if isinstance(entry, Mapping):
                entry = {"name": key, **entry}
            if (name := _name_of(entry, f"{where}: {key}", hint)) != key:
                raise ConfigError(f"{where}: {key}: name", expected=repr(key), got=repr(name))
            yield name, entry
    elif isinstance(feature_configs, Iterable) and not isinstance(feature_configs, str):
        for entry in feature_configs:
            yield _name_of(entry, where, hint), entry
    else:
        raise ConfigError(
            where,
            expected="a list of entries, or a mapping of them by name",
            got=repr(feature_configs),
            hint=hint,
        )


def _name_of(entry: Any, where: str, hint: str) -> str:
    if isinstance(entry, FeatureStorageConfig | FeatureStorageReaderConfig):
        return entry.name
    if not isinstance(entry, Mapping):
        raise ConfigError(
            where, expected="an entry such as FeatureStorageConfig", got=repr(entry), hint=hint
        )
    return check_name(entry.get("name"), f"{where}: name")
