"""Stores: one feature of one split, in packed HDF5 shards that a reader memory-maps."""

from featbank.store.builder import StoreBuilder
from featbank.store.encoding import (
    ENCODINGS,
    Encoded,
    dtypes_for,
    find_encoding,
    token_dtype,
)
from featbank.store.format import FORMAT_VERSION, HEADER_NAME
from featbank.store.given import as_array
from featbank.store.header import Numerics, StoreHeader
from featbank.store.header_file import read_header
from featbank.store.mapped import MappedShard
from featbank.store.opening import open_store
from featbank.store.reader import Store
from featbank.store.shard import ShardRow, ShardWriter, planned_bytes
from featbank.store.shard_info import ShardInfo
from featbank.store.shard_layout import ShardSpec
from featbank.store.sharding import ShardCutter, plan_shards, row_bytes, shard_name
from featbank.store.together import commit_together, publish_together
from featbank.store.verified import open_verified
from featbank.store.verify import Damage, verify_shard
from featbank.store.writer import SHARD_BYTES, StoreWriter

__all__ = [
    "ENCODINGS",
    "FORMAT_VERSION",
    "HEADER_NAME",
    "SHARD_BYTES",
    "Damage",
    "Encoded",
    "MappedShard",
    "Numerics",
    "ShardCutter",
    "ShardInfo",
    "ShardRow",
    "ShardSpec",
    "ShardWriter",
    "Store",
    "StoreBuilder",
    "StoreHeader",
    "StoreWriter",
    "as_array",
    "commit_together",
    "dtypes_for",
    "find_encoding",
    "open_store",
    "open_verified",
    "plan_shards",
    "planned_bytes",
    "publish_together",
    "read_header",
    "row_bytes",
    "shard_name",
    "token_dtype",
    "verify_shard",
]
