"""How the features of an extractor are stored, as a YAML recipe declares it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featbank.errors import ConfigError
from featbank.store import SHARD_BYTES, find_encoding
from featbank.trusted import check_name, check_type, construct

PACKED_WRITER = "featbank.store.StoreWriter"
_DTYPES = ("float32", "float16", "bfloat16", "int8_scaled")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureStorageConfig:
    """Storage of one feature.

    Args:
        name: the feature's name: a key of the dicts that `compute_features` returns.
        dtype: what its values are stored as: float32, float16, bfloat16 or int8_scaled.
        writer_class: the packed HDF5 writer, so far the only one.
        writer_kwargs: `shard_bytes`, the size in bytes around which shards are cut, and
            `compression`, zstd or blosc.
    """

    name: str
    dtype: str = "float32"
    writer_class: str = PACKED_WRITER
    writer_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name, "storage: name")
        if self.dtype not in _DTYPES:
            raise ConfigError(
                f"storage of {self.name!r}: dtype", expected=" or ".join(_DTYPES), got=self.dtype
            )
        if self.writer_class != PACKED_WRITER:
            raise ConfigError(
                f"storage of {self.name!r}: writer_class",
                expected=PACKED_WRITER,
                got=self.writer_class,
            )
        if unknown := sorted(set(self.writer_kwargs) - {"shard_bytes", "compression"}):
            raise ConfigError(
                f"storage of {self.name!r}: writer_kwargs",
                expected="shard_bytes or compression",
                got=", ".join(unknown),
            )
        check_type(self.shard_bytes, int, f"storage of {self.name!r}: shard_bytes")
        if self.shard_bytes <= 0:
            raise ConfigError(
                f"storage of {self.name!r}: shard_bytes", expected="over 0", got=self.shard_bytes
            )

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


def read_storage(entries: Sequence[Mapping[str, Any]]) -> list[FeatureStorageConfig]:
    """Read the storage entries of a configuration.

    Raises:
        ConfigError: an entry has a key that there is not, lacks its name, or has a wrong value.
    """
    return [construct(FeatureStorageConfig, entry, "feature.storage") for entry in entries]


def storage_by_name(
    entries: Iterable[FeatureStorageConfig], names: Iterable[str]
) -> dict[str, FeatureStorageConfig]:
    """Match storage entries with the features an extractor computes, one each.

    Raises:
        ConfigError: a feature has no entry, or an entry no feature, or two.
    """
    found: dict[str, FeatureStorageConfig] = {}
    for entry in entries:
        if entry.name in found:
            raise ConfigError(f"storage of {entry.name!r}", expected="one entry", got="two")
        found[entry.name] = entry
    if set(found) != set(names):
        raise ConfigError(
            "storage",
            expected=f"one entry for each of {', '.join(sorted(names))}",
            got=", ".join(sorted(found)) or "none",
        )
    return found
