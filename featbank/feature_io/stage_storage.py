"""The storage entries of a stage, which writes packed stores of what its extractor computes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from featbank.base.trusted import check_type, construct
from featbank.errors import ConfigError
from featbank.feature_io.config import PACKED_WRITER, FeatureStorageConfig
from featbank.store import dtypes_for
from featbank.store.compression import check_compression

_STAGE_KWARGS = frozenset(["shard_bytes", "compression"])


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
    dtypes = dtypes_for(codebook_size)
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
