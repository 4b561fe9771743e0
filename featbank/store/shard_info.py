"""What the header of a store lists of each shard."""

from __future__ import annotations

import re
from dataclasses import dataclass
from sys import float_info
from typing import Any

from featbank.errors import StoreError
from featbank.store.format import typed_field
from featbank.store.id_index import MAX_ROWS

MAX_COUNT = 1 << 62
SHARD_NAME = re.compile(r"[0-9a-f]{16}\.h5")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHARD_FIELDS: dict[tuple[type, ...], tuple[str, ...]] = {
    (str,): ("name", "part", "first_id", "last_id", "digest"),
    (int,): ("num_utterances", "num_frames", "num_bytes", "values_start"),
    (int, float): ("max_abs_error", "sum_abs_error"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """One shard, as the header lists it.

    Args:
        name: of the file in the store's folder, as `shard_name` gives it.
        part: the group that all its utterances belong to.
        first_id, last_id: the smallest and the greatest id in it.
        num_utterances, num_frames: what it holds.
        num_bytes: size of the file.
        values_start: where the values begin in the file; 0 where they are not contiguous.
        digest: SHA-256 of the file but those values, in hexadecimal.
        max_abs_error, sum_abs_error: what narrowing to the stored dtype changed in the values.
    """

    name: str
    part: str = ""
    first_id: str
    last_id: str
    num_utterances: int
    num_frames: int
    num_bytes: int
    values_start: int
    digest: str
    max_abs_error: float = 0.0
    sum_abs_error: float = 0.0

    def __post_init__(self) -> None:
        # a header is outside data: a name must not lead out of the store's folder
        if not SHARD_NAME.fullmatch(self.name):
            raise StoreError("name of a shard", expected="<16 hex digits>.h5", got=repr(self.name))
        if not _SHA256.fullmatch(self.digest):
            raise StoreError(
                f"digest of shard {self.name}", expected="64 hex digits", got=repr(self.digest)
            )
        if not 0 <= self.values_start <= self.num_bytes or self.num_frames < 0:
            raise StoreError(
                f"values of shard {self.name}",
                expected=f"within its {self.num_bytes} bytes",
                got=f"{self.num_frames} frames from byte {self.values_start}",
            )
        bounds = {
            "num_utterances": (1, MAX_ROWS),
            "num_frames": (0, MAX_COUNT),
            "num_bytes": (1, MAX_COUNT),
            "max_abs_error": (0, float_info.max),
            "sum_abs_error": (0, float_info.max),
        }
        for field, limits in bounds.items():
            check_within(f"{field} of shard {self.name}", getattr(self, field), *limits)
        if self.first_id > self.last_id:
            raise StoreError(
                f"last_id of shard {self.name}",
                expected=f"{self.first_id!r} or after",
                got=repr(self.last_id),
            )

    @classmethod
    def from_json(cls, fields: Any, where: str) -> ShardInfo:
        """Read what a header lists of a shard.

        Args:
            fields: the parsed JSON.
            where: the file it came from, for errors.

        Raises:
            StoreError: a field is missing, of another type or out of bounds.
        """
        if not isinstance(fields, dict):
            raise StoreError(f"{where}: shards", expected="objects", got=type(fields).__name__)
        values: dict[str, Any] = {
            name: typed_field(fields, name, kinds, where)
            for kinds, names in _SHARD_FIELDS.items()
            for name in names
        }
        return cls(**values)


def check_within(what: str, value: float, low: float, high: float) -> None:
    """Refuse a number out of bounds, and a flag in its place.

    Raises:
        StoreError: it is one.
    """
    if isinstance(value, bool) or not low <= value <= high:
        raise StoreError(what, expected=f"a number from {low} to {high}", got=value)
