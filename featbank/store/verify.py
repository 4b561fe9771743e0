"""Compare every byte of a store with what its header and its checksums say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from featbank.errors import StoreError
from featbank.store.encoding import checksum, find_encoding
from featbank.store.failure_list import read_listed_failures
from featbank.store.format import FAILURES_NAME
from featbank.store.layout import ShardInfo, StoreHeader
from featbank.store.mapped import MappedShard
from featbank.store.shard_file import digest_around
from featbank.store.shard_layout import ShardSpec

_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged shard, or a damaged failure list.

    Args:
        shard: path of the file.
        message: what was expected, and what was found.
        ids: of the rows whose values differ; empty where the damage is not in values alone.
    """

    shard: str
    message: str
    ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in one line."""
        named = ", ".join(map(repr, self.ids[:_MAX_NAMED]))
        more = len(self.ids) - _MAX_NAMED
        rows = f" of {named}{f' and {more} more' if more > 0 else ''}" if self.ids else ""
        kind = "failure list" if Path(self.shard).name == FAILURES_NAME else "shard"
        return f"{kind} {self.shard}: {self.message}{rows}"


def verify_shard(folder: Path, header: StoreHeader, info: ShardInfo) -> Damage | None:
    """Read a whole shard; return what is wrong with it, or None when all bytes are as written."""
    path = folder / info.name
    try:
        problem = file_problem(path, header, info)
        if problem is not None:
            return Damage(str(path), problem)
        shard = MappedShard(path, info.num_bytes)
        ids = tuple(damaged_rows(shard))
    except StoreError as error:
        return Damage(str(path), str(error))
    return Damage(str(path), "expected other values", ids) if ids else None


def verify_failures(folder: Path, header: StoreHeader) -> Damage | None:
    """Read the failure list of a store; return what is wrong with it, or None."""
    try:
        read_listed_failures(folder, header)
    except StoreError as error:
        return Damage(str(folder / FAILURES_NAME), f"expected {error.expected}, got {error.got}")
    return None


def file_problem(path: Path, made: StoreHeader | ShardSpec, info: ShardInfo) -> str | None:
    """Read a shard but its plain values; return what is wrong with it, or None.

    Args:
        path: of the shard.
        made: says what it is stored as.
        info: what the header lists of it.
    """
    if not path.is_file():
        return "missing"
    frame_bytes = find_encoding(made.dtype).stored.itemsize * prod(made.shape)
    values_bytes = info.num_frames * frame_bytes if info.values_start else 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != info.num_bytes:
            return f"expected {info.num_bytes} bytes, got {size}"
        if info.values_start + values_bytes > size:
            return (
                f"expected values up to byte {info.values_start + values_bytes}, got {size} bytes"
            )
        found = digest_around(file.fileno(), info.values_start, values_bytes)
    if found != info.digest:
        return f"expected digest {info.digest}, got {found}"
    return None


def damaged_rows(shard: MappedShard) -> Iterator[str]:
    """Give the ids of the rows whose values are not those that were written.

    Raises:
        StoreError: values that cannot be decompressed.
    """
    for row in range(len(shard)):
        if not is_sound(shard, row):
            yield shard.id(row)


def is_sound(shard: MappedShard, row: int) -> bool:
    """Tell whether the values of a row are those that were written.

    Raises:
        StoreError: values that cannot be decompressed.
    """
    return checksum(shard.stored(row)) == shard.checksum(row)
