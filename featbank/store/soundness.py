"""Tell a sound shard from a damaged one, for whoever opens, verifies or validates a store.

A header is held to its bounds where it is built (`header`), a folder to what it states (`joining`).
Here a shard is held against the header that lists it, which costs nothing and is done whenever one
is opened, and its index against its rows, which costs a pass over them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from featbank.errors import StoreError
from featbank.files.provenance import canonical_json
from featbank.store.encoding import find_encoding
from featbank.store.header import StoreHeader
from featbank.store.id_index import build_slots
from featbank.store.mapped import MappedShard
from featbank.store.shard_info import ShardInfo


def differences(
    header: StoreHeader, info: ShardInfo, shard: MappedShard
) -> Iterator[tuple[str, object, object]]:
    """Give what a shard is not as its header says: what, expected, got.

    Raises:
        StoreError: its ids cannot be read.
    """
    spec = shard.spec
    for what, expected, got in (
        ("name", header.name, spec.name),
        ("dtype", header.dtype, spec.dtype),
        ("shape", header.shape, spec.shape),
        ("fingerprint", header.fingerprint, spec.fingerprint),
        ("compression", header.compression, spec.compression),
        ("first_id", info.first_id, shard.id(0)),
        ("last_id", info.last_id, shard.id(len(shard) - 1)),
        ("num_utterances", info.num_utterances, len(shard)),
        ("num_frames", info.num_frames, shard.num_frames),
        ("values_start", info.values_start, shard.values_start),
    ):
        if expected != got:
            yield what, expected, got
    numerics = canonical_json(spec.numerics)
    if spec.numerics and numerics not in map(canonical_json, header.numerics):
        yield "numerics", "one of the header's", numerics


def check_index(shard: MappedShard) -> npt.NDArray[np.uint64]:
    """Hold the rows of a shard against each other, and its index of ids against them.

    Returns:
        XXH3-64 of each id, (num_rows,).

    Raises:
        StoreError: rows overlap, ids do not rise, or a search would not find each of them.
    """
    for name, starts in (("frames", shard.frame_starts), ("ids", shard.id_starts)):
        if (np.diff(starts) < 0).any():
            row = int(np.argmax(np.diff(starts) < 0))
            raise shard.damaged(f"{name} of row {row + 1} after those of row {row}", "before them")
    previous = ""
    keys = []
    for row, one in enumerate(shard.ids()):
        if one <= previous:
            raise shard.damaged(f"row {row}'s id after {previous!r}", repr(one))
        previous = one
        keys.append(one.encode())
    if not np.array_equal(build_slots(keys), shard.id_slots):
        raise shard.damaged("the index of its ids", "another one: some cannot be found")
    return np.fromiter(map(xxh3_64_intdigest, keys), np.uint64, len(keys))


def check_when_opened(header: StoreHeader, info: ShardInfo, shard: MappedShard) -> None:
    """Hold all of a shard but its values against its header, once, when it is opened to be read.

    Rows are then found where they are, under their own ids and scales; flipped bits of values are
    left to `verify`. Compressed values have no place of their own, and a digest of them all would
    cost more than reading them: there the index is held against the rows, and each row that is read
    as a whole against its checksum.

    Raises:
        StoreError: it is damaged.
    """
    if shard.is_compressed and not find_encoding(header.dtype).has_scale:
        check_index(shard)
    else:
        check_digest(header, info, shard)


def check_digest(header: StoreHeader, info: ShardInfo, shard: MappedShard) -> None:
    """Hold all of a shard but its plain values against the digest that the header lists.

    Raises:
        StoreError: it is damaged.
    """
    values_bytes = info.num_frames * header.frame_bytes if info.values_start else 0
    found = shard.digest_around(values_bytes)
    if found != info.digest:
        raise shard.damaged(f"digest {info.digest}", found)


def refuse_differences(header: StoreHeader, info: ShardInfo, shard: MappedShard) -> None:
    """Refuse a shard that is not as its header says.

    Raises:
        StoreError: it is not.
    """
    for what, expected, got in differences(header, info, shard):
        raise StoreError(shard.where, expected=f"{what} {expected!r}", got=repr(got))
