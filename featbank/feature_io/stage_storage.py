"""Storage of what a stage computes: one packed store a feature, as `feature.storage` lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from featbank.base.building import check_type, construct
from featbank.base.folder_names import check_name
from featbank.errors import ConfigError
from featbank.store import ENCODINGS, SHARD_BYTES, dtypes_for, find_encoding
from featbank.store.compression import check_compression

_NAME = "storage: name"
_OLD_KEYS = ("writer_class", "writer_kwargs")


@dataclass(frozen=True, slots=True)
class PackedStorage:
    """Storage of a feature of an extractor, or of several alike, in packed stores.

    A recipe, which may write other files too, has `FeatureStorageConfig` for it.

    Args:
        name: the feature's name, which is also its folder's; a `*` in it stands for what several
            features differ in: `wavlm-l*` for `wavlm-l0` and all others of that kind.
        dtype: that its values are stored as: see `featbank.store.ENCODINGS`.
        shard_bytes: the size in bytes around which shards are cut.
        compression: of the values: zstd or blosc; None to have them mapped into memory.

    Raises:
        ConfigError: the name could not be a folder, or there is no such dtype or size.
        StoreError: there is no such compression here.
    """

    name: str
    dtype: str = "float32"
    shard_bytes: int = SHARD_BYTES
    compression: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        check_name(self.name.replace("*", "0") if isinstance(self.name, str) else self.name, _NAME)
        where = f"storage of {self.name!r}"
        if not isinstance(self.dtype, str) or self.dtype not in ENCODINGS:
            raise ConfigError(f"{where}: dtype", expected=" or ".join(ENCODINGS), got=self.dtype)
        check_type(self.shard_bytes, int, f"{where}: shard_bytes")
        if self.shard_bytes <= 0:
            raise ConfigError(f"{where}: shard_bytes", expected="over 0", got=self.shard_bytes)
        check_compression(self.compression)

    @property
    def itemsize(self) -> int:
        """Bytes a value."""
        return find_encoding(self.dtype).stored.itemsize


def read_storage(entries: Sequence[Mapping[str, Any]]) -> list[PackedStorage]:
    """Read the storage entries of a definition.

    Raises:
        ConfigError: an entry has a key that there is not, lacks its name, or has a wrong value.
        StoreError: there is no such compression here.
    """
    for entry in entries:
        _refuse_old_keys(entry)
    return [construct(PackedStorage, entry, "feature.storage") for entry in entries]


def _refuse_old_keys(entry: Mapping[str, Any]) -> None:
    old = [key for key in _OLD_KEYS if key in entry]
    if not old:
        return
    inner = entry.get("writer_kwargs")
    kept = {key: value for key, value in entry.items() if key not in _OLD_KEYS}
    kept |= inner if isinstance(inner, Mapping) else {}
    flat = ", ".join(f"{key}: {value}" for key, value in kept.items())
    raise ConfigError(
        f"storage of {entry.get('name')!r}",
        expected="name, dtype, shard_bytes and compression alone: a stage writes packed stores",
        got=" and ".join(old),
        hint=f"write {{{flat}}}; other files are written by FeatureBrain.cache_features",
    )


def _check_dtype(entry: PackedStorage, codebook_size: int | None) -> None:
    """Refuse to store floats as integers, or codes as floats or as integers too small for them.

    Args:
        entry: how a feature is stored.
        codebook_size: of codes; None for floats.

    Raises:
        ConfigError: the dtype cannot hold the feature.
    """
    dtypes = dtypes_for(codebook_size)
    if entry.dtype not in dtypes:
        raise ConfigError(
            f"storage of {entry.name!r}: dtype", expected=" or ".join(dtypes), got=entry.dtype
        )


def storage_by_name(
    entries: Iterable[PackedStorage], codebook_sizes: Mapping[str, int | None]
) -> dict[str, PackedStorage]:
    """Match storage entries with the features an extractor computes, one each.

    Args:
        entries: one a feature, or several features; an entry of a feature's very name goes first.
        codebook_sizes: of the features, by name; None for floats.

    Raises:
        ConfigError: a feature has no entry, or two, or an entry no feature; or its dtype cannot
            hold it.
    """
    entries = list(entries)
    names = [entry.name for entry in entries]
    found: dict[str, PackedStorage] = {}
    used: set[str] = set()
    for entry in entries:
        for name in codebook_sizes:
            others = name in names and entry.name != name  # an entry of its very name stores it
            if fnmatchcase(name, entry.name) and not others:
                if name in found:
                    raise ConfigError(f"storage of {name!r}", expected="one entry", got="two")
                found[name] = replace(entry, name=name)
                used.add(entry.name)
    if set(found) != set(codebook_sizes) or used != set(names):
        raise ConfigError(
            "storage",
            expected=f"one entry for each of {', '.join(sorted(codebook_sizes))}",
            got=", ".join(sorted(names)) or "none",
        )
    for name, entry in found.items():
        _check_dtype(entry, codebook_sizes[name])
    return found
