"""Stores: one feature of one split, in packed HDF5 shards that a reader memory-maps."""

from featbank.store.builder import StoreBuilder
from featbank.store.layout import ShardInfo, StoreHeader, read_header
from featbank.store.mapped import MappedShard
from featbank.store.reader import Store, open_store
from featbank.store.shard import ShardRow, ShardSpec, ShardWriter
from featbank.store.sharding import plan_shards, row_bytes, shard_name
from featbank.store.writer import SHARD_BYTES, StoreWriter

__all__ = [
    "SHARD_BYTES",
    "MappedShard",
    "ShardInfo",
    "ShardRow",
    "ShardSpec",
    "ShardWriter",
    "Store",
    "StoreBuilder",
    "StoreHeader",
    "StoreWriter",
    "open_store",
    "plan_shards",
    "read_header",
    "row_bytes",
    "shard_name",
]
