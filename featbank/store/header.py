"""The header of a store: what it says of the feature, its shards and their origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import fsum, prod
from typing import Any

from featbank.base.framing import Framing
from featbank.errors import StoreError
from featbank.store.encoding import find_encoding, frame_bytes
from featbank.store.format import (
    COMPRESSIONS,
    FORMAT_VERSION,
    STORE_FORMAT,
    check_format,
    typed_field,
)
from featbank.store.shard_info import MAX_COUNT, ShardInfo, check_within

_MAX_AXES = 31  # HDF5 has 32, and one is time
_MAX_FRAME_VALUES = 1 << 32
_MAX_CODEBOOK = 1 << 32
_MIN_RATE, _MAX_RATE = 1e-6, 1e9  # frames a second
_MAX_CENTER_S = 1e6

Numerics = Mapping[str, object]
"""A numerics class: what decides the last bits of a value, by name, as JSON values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHeader:
    """What a store says of itself. It holds no time, host, user, absolute path or worker count.

    Args:
        name: of the feature.
        dtype: that is stored: a NumPy name, `bfloat16` or `int8_scaled`.
        shape: of one frame: `(80,)` for 80 mel bins, `()` for one unit a frame.
        time_axis: of an utterance as it is read: 0 for (T, *shape), -1 for codes (Q, T), which are
            stored frame by frame all the same; None for one value (*shape) an utterance, such as a
            speaker embedding, which is stored as one frame.
        codebook_size: tokens are below it; None for what is no tokens, or for an unknown codebook.
        compression: of the values: `zstd`, `blosc` or None.
        frame_rate: frames a second; None when it varies.
        first_frame_center_s: time of the middle of the first frame; None when it is not defined.
        framing: the exact frame grid, where there is one.
        fingerprint: digest of all that determines the values but the audio.
        numerics: the numerics classes found in the shards, distinct, sorted.
        provenance: what the store was made from, as JSON values.
        num_failures: rows of the failure list.
        failures_digest: SHA-256 of that file, in hexadecimal; empty when there is none.
        shards: sorted by part, then first id.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    time_axis: int | None = 0
    codebook_size: int | None = None
    compression: str | None = None
    frame_rate: float | None = None
    first_frame_center_s: float | None = None
    framing: Framing | None = None
    fingerprint: str = ""
    numerics: tuple[Numerics, ...] = ()
    provenance: Mapping[str, Any]
    num_failures: int = 0
    failures_digest: str = ""
    shards: tuple[ShardInfo, ...] = ()

    def __post_init__(self) -> None:
        where = f"of store {self.name!r}"
        encoding = find_encoding(self.dtype)
        sizes = all(type(size) is int and size >= 0 for size in self.shape)
        if not sizes or len(self.shape) > _MAX_AXES or prod(self.shape) > _MAX_FRAME_VALUES:
            raise StoreError(
                f"shape {where}",
                expected=f"at most {_MAX_AXES} sizes, {_MAX_FRAME_VALUES} values in all",
                got=self.shape,
            )
        if self.time_axis not in (0, -1, None):
            raise StoreError(f"time_axis {where}", expected="0, -1 or none", got=self.time_axis)
        if self.time_axis is None:
            self._check_no_frames(where)
        if self.codebook_size is not None:
            if encoding.read.kind not in "iu":
                raise StoreError(
                    f"dtype {where}, of tokens", expected="an integer dtype", got=repr(self.dtype)
                )
            check_within(f"codebook_size {where}", self.codebook_size, 1, _MAX_CODEBOOK)
        if self.compression is not None and self.compression not in COMPRESSIONS:
            raise StoreError(
                f"compression {where}",
                expected=f"{' or '.join(COMPRESSIONS)}, or none",
                got=repr(self.compression),
            )
        if self.frame_rate is not None:
            check_within(f"frame_rate {where}", self.frame_rate, _MIN_RATE, _MAX_RATE)
        if self.first_frame_center_s is not None:
            center_s = self.first_frame_center_s
            check_within(f"first_frame_center_s {where}", center_s, -_MAX_CENTER_S, _MAX_CENTER_S)
        check_within(f"num_failures {where}", self.num_failures, 0, MAX_COUNT)

    def _check_no_frames(self, where: str) -> None:
        for name in ("frame_rate", "first_frame_center_s", "framing"):
            if getattr(self, name) is not None:
                raise StoreError(
                    f"{name} {where}",
                    expected="none, for there is one value an utterance",
                    got=getattr(self, name),
                )
        for shard in self.shards:
            if shard.num_frames != shard.num_utterances:
                raise StoreError(
                    f"num_frames of shard {shard.name} {where}",
                    expected=f"one an utterance, {shard.num_utterances}",
                    got=shard.num_frames,
                )

    @property
    def axes(self) -> tuple[int | None, ...]:
        """The shape of an utterance as it is read, None for T: (None, 80), (8, None), (256,)."""
        if self.time_axis is None:
            return self.shape
        return (*self.shape, None) if self.time_axis == -1 else (None, *self.shape)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame as it is stored, before compression."""
        return frame_bytes(self.dtype, self.shape)

    @property
    def num_utterances(self) -> int:
        """Utterances in all shards."""
        return sum(shard.num_utterances for shard in self.shards)

    @property
    def num_frames(self) -> int:
        """Frames in all shards."""
        return sum(shard.num_frames for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Size of all shards."""
        return sum(shard.num_bytes for shard in self.shards)

    @property
    def max_abs_error(self) -> float:
        """Greatest difference between a value as it was written and as it is read."""
        return max((shard.max_abs_error for shard in self.shards), default=0.0)

    @property
    def mean_abs_error(self) -> float:
        """Mean difference between the values as they were written and as they are read."""
        num_values = self.num_frames * prod(self.shape)
        # the exactly rounded sum, which no order of the shards can change
        return fsum(shard.sum_abs_error for shard in self.shards) / max(1, num_values)

    def to_json(self) -> dict[str, Any]:
        """Return the header as plain JSON values."""
        return {
            "format": STORE_FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "time_axis": self.time_axis,
            "codebook_size": self.codebook_size,
            "compression": self.compression,
            "frame_rate": self.frame_rate,
            "first_frame_center_s": self.first_frame_center_s,
            "framing": None if self.framing is None else self.framing.to_json(),
            "num_utterances": self.num_utterances,
            "num_frames": self.num_frames,
            "num_failures": self.num_failures,
            "failures_digest": self.failures_digest,
            "max_abs_error": self.max_abs_error,
            "mean_abs_error": self.mean_abs_error,
            "fingerprint": self.fingerprint,
            "numerics": [dict(numerics) for numerics in self.numerics],
            "provenance": dict(self.provenance),
            "shards": [asdict(shard) for shard in self.shards],
        }

    @classmethod
    def from_json(cls, fields: Any, where: str) -> StoreHeader:
        """Build a header from what `to_json` returned.

        Args:
            fields: the parsed JSON.
            where: the file it came from, for errors.

        Raises:
            StoreError: it is no header of a store, a newer one, or it is damaged.
        """
        check_format(fields, STORE_FORMAT, where)
        framing = typed_field(fields, "framing", (dict, type(None)), where)
        try:
            header = cls(
                name=typed_field(fields, "name", (str,), where),
                dtype=find_encoding(typed_field(fields, "dtype", (str,), where)).name,
                shape=_shape(fields, where),
                time_axis=typed_field(fields, "time_axis", (int, type(None)), where),
                codebook_size=typed_field(fields, "codebook_size", (int, type(None)), where),
                compression=typed_field(fields, "compression", (str, type(None)), where),
                frame_rate=typed_field(fields, "frame_rate", (int, float, type(None)), where),
                first_frame_center_s=typed_field(
                    fields, "first_frame_center_s", (int, float, type(None)), where
                ),
                framing=None if framing is None else Framing.from_json(framing),
                fingerprint=typed_field(fields, "fingerprint", (str,), where),
                numerics=tuple(typed_field(fields, "numerics", (list,), where)),
                provenance=typed_field(fields, "provenance", (dict,), where),
                num_failures=typed_field(fields, "num_failures", (int,), where),
                failures_digest=typed_field(fields, "failures_digest", (str,), where),
                shards=tuple(
                    ShardInfo.from_json(shard, where)
                    for shard in typed_field(fields, "shards", (list,), where)
                ),
            )
        except (TypeError, ValueError) as error:
            raise StoreError(where, expected="the fields of a store header", got=error) from error
        _check_sums(header, fields, where)
        return header


def _shape(fields: Mapping[str, Any], where: str) -> tuple[int, ...]:
    sizes = typed_field(fields, "shape", (list,), where)
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise StoreError(f"{where}: shape", expected="sizes", got=sizes)
    return tuple(sizes)


def _check_sums(header: StoreHeader, fields: Mapping[str, Any], where: str) -> None:
    for name in ("num_utterances", "num_frames"):
        stated = typed_field(fields, name, (int,), where)
        if stated != getattr(header, name):
            raise StoreError(
                f"{where}: {name}", expected=f"the shards' sum {getattr(header, name)}", got=stated
            )
    if not all(isinstance(numerics, dict) for numerics in header.numerics):
        raise StoreError(f"{where}: numerics", expected="objects", got=header.numerics)
    for previous, shard in pairwise(header.shards):
        if (previous.part, previous.last_id) >= (shard.part, shard.first_id):
            raise StoreError(
                f"{where}: shards",
                expected=f"a shard after {previous.last_id!r}",
                got=repr(shard.first_id),
            )
