"""How tests damage a file as a disk does: a bit in place, which every other name of it sees."""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from featbank.store import ShardInfo, read_header


def flip(path: Path, position: int, bit: int = 6) -> None:
    """Flip a bit of a file without a trace in its size, its inode or its time."""
    before = path.stat()
    path.chmod(0o644)
    with open(path, "r+b", buffering=0) as file:
        byte = os.pread(file.fileno(), 1, position)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1 << bit]), position)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip_in(path: Path, dataset: str) -> None:
    """Flip a bit in the first bytes of a dataset of a shard, compressed or not."""
    with h5py.File(path, "r") as shard:
        found = shard[dataset].id
        start = found.get_offset()
        if start is None:
            start = found.get_chunk_info(0).byte_offset
    flip(path, start + 2)


def fullest_shard(store: Path) -> tuple[Path, ShardInfo]:
    """Return the shard of a store with most rows, and what the header lists of it."""
    info = max(read_header(store).shards, key=lambda shard: shard.num_utterances)
    return store / info.name, info
