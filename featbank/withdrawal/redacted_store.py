"""A store without some utterances: its other shards stay as they are, and rows are copied.

Shards are cut where they were before: nothing moves but what is beside a row that goes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from featbank.errors import StoreError
from featbank.store import (
    Encoded,
    MappedShard,
    ShardInfo,
    ShardRow,
    ShardWriter,
    StoreHeader,
    read_header,
    shard_name,
    verify_shard,
)
from featbank.store.builder import describe_store
from featbank.store.failure_list import read_listed_failures
from featbank.store.format import NO_DIGEST


def redact_store(folder: Path, ids: Collection[str], out: Path) -> StoreHeader:
    """Write those files of a store anew that are others without some utterances.

    Args:
        folder: with the header, the failure list if there is one, and those shards that hold some
            of the utterances; shards that are not in it are taken to hold none.
        ids: of the utterances.
        out: folder for the new shards, the header and the failure list.

    Returns:
        The new header. Its numerics classes are those of before, also where the last shard of one
        is gone: what the shards are that are not in `folder`, nobody looks up.

    Raises:
        StoreError: something is damaged, or of another version of the format.
    """
    header = read_header(folder)
    failures = [one for one in read_listed_failures(folder, header) if one.id not in ids]
    out.mkdir(parents=True)
    shards = []
    for info in header.shards:
        if not (folder / info.name).exists():
            shards.append(info)
        elif (left := _without(folder, header, info, ids, out)) is not None:
            shards.append(left)
    numerics = header.numerics if shards else ()
    made = replace(header, shards=tuple(shards), numerics=numerics, num_failures=len(failures))
    return describe_store(out, made, failures)


def _without(
    folder: Path, header: StoreHeader, info: ShardInfo, ids: Collection[str], out: Path
) -> ShardInfo | None:
    """Copy the rows of a shard but some; None where no row is left."""
    if damage := verify_shard(folder, header, info):
        raise StoreError(str(damage))
    shard = MappedShard(folder / info.name, info.num_bytes)
    kept = [row for row, one in enumerate(shard.ids()) if one not in ids]
    if not kept:
        return None
    rows = [
        ShardRow(
            id=shard.id(row),
            num_frames=len(shard.frames(row)),
            input_digest=shard.input_digest(row).removeprefix(NO_DIGEST),
        )
        for row in kept
    ]
    name = shard_name(
        header.fingerprint, [row.id for row in rows], [row.input_digest for row in rows]
    )
    writer = ShardWriter(out / name, shard.spec, rows)
    try:
        for place, row in zip(kept, rows, strict=True):
            error = shard.rounding_error(place)
            writer.write(row.id, Encoded(shard.stored(place), shard.scale(place), *error))
        made = writer.close()
    finally:
        writer.abort()
    assert made is not None  # no row is discarded
    return replace(made, part=info.part)
