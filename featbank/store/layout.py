"""The header of a store: what `header.json` says of the feature, its shards and their origin."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import fsum, prod
from pathlib import Path
from sys import float_info
from typing import Any, Protocol

from featbank.base.framing import Framing
from featbank.errors import StoreError
from featbank.files.json_files import parse_json
from featbank.files.opening import read_regular
from featbank.files.provenance import canonical_json, digest, readable_json
from featbank.store.encoding import find_encoding
from featbank.store.format import (
    COMPRESSIONS,
    FORMAT_VERSION,
    HEADER_NAME,
    STORE_FORMAT,
    check_format,
    typed_field,
)
from featbank.store.healing import MAKE, heal
from featbank.store.id_index import MAX_ROWS

MAX_HEADER_BYTES = 256 << 20
"""Of `header.json`: some 600,000 shards."""

_MAX_AXES = 31  # HDF5 has 32, and one is time
_MAX_FRAME_VALUES = 1 << 32
_MAX_CODEBOOK = 1 << 32
_MIN_RATE, _MAX_RATE = 1e-6, 1e9  # frames a second
_MAX_CENTER_S = 1e6
_MAX_COUNT = 1 << 62
SHARD_NAME = re.compile(r"[0-9a-f]{16}\.h5")
_SHARD_FIELDS: dict[tuple[type, ...], tuple[str, ...]] = {
    (str,): ("name", "part", "first_id", "last_id", "digest"),
    (int,): ("num_utterances", "num_frames", "num_bytes", "values_start"),
    (int, float): ("max_abs_error", "sum_abs_error"),
}
_SHA256 = re.compile(r"[0-9a-f]{64}")


Numerics = Mapping[str, object]
"""A numerics class: what decides the last bits of a value, by name, as JSON values."""


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
            "num_frames": (0, _MAX_COUNT),
            "num_bytes": (1, _MAX_COUNT),
            "max_abs_error": (0, float_info.max),
            "sum_abs_error": (0, float_info.max),
        }
        for field, limits in bounds.items():
            _check_within(f"{field} of shard {self.name}", getattr(self, field), *limits)
        if self.first_id > self.last_id:
            raise StoreError(
                f"last_id of shard {self.name}",
                expected=f"{self.first_id!r} or after",
                got=repr(self.last_id),
            )


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
            _check_within(f"codebook_size {where}", self.codebook_size, 1, _MAX_CODEBOOK)
        if self.compression is not None and self.compression not in COMPRESSIONS:
            raise StoreError(
                f"compression {where}",
                expected=f"{' or '.join(COMPRESSIONS)}, or none",
                got=repr(self.compression),
            )
        if self.frame_rate is not None:
            _check_within(f"frame_rate {where}", self.frame_rate, _MIN_RATE, _MAX_RATE)
        if self.first_frame_center_s is not None:
            center_s = self.first_frame_center_s
            _check_within(f"first_frame_center_s {where}", center_s, -_MAX_CENTER_S, _MAX_CENTER_S)
        _check_within(f"num_failures {where}", self.num_failures, 0, _MAX_COUNT)

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
                    _shard_info(shard, where)
                    for shard in typed_field(fields, "shards", (list,), where)
                ),
            )
        except (TypeError, ValueError) as error:
            raise StoreError(where, expected="the fields of a store header", got=error) from error
        _check_sums(header, fields, where)
        return header


class _Made(Protocol):
    @property
    def dtype(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


def frame_bytes(made: _Made) -> int:
    """Return the bytes of one frame, as a header or the spec of a shard says it is stored."""
    return find_encoding(made.dtype).stored.itemsize * prod(made.shape)


def header_text(header: StoreHeader) -> str:
    """Return the text of `header.json`: the header, and the digest of its fields."""
    return readable_json({**_fields(header), "digest": header_digest(header)})


def header_digest(header: StoreHeader) -> str:
    """Return the digest that a header states of itself: it stands for a whole store."""
    return digest(_fields(header))


def read_header(folder: str | Path) -> StoreHeader:
    """Read the header of the store in `folder`.

    Raises:
        StoreError: there is no header, or it is foreign, newer or damaged.
    """
    path = Path(folder) / HEADER_NAME
    try:
        data = read_regular(path, MAX_HEADER_BYTES)
    except OSError as error:
        raise StoreError(
            f"store {folder}",
            expected=f"a folder with {HEADER_NAME}",
            got=_instead_of_header(Path(folder), error),
            hint=MAKE,
        ) from error
    fields = parse_json(data, str(path), StoreError, hint=heal(Path(folder)))
    header = StoreHeader.from_json(fields, str(path))
    # last, for the errors above say more; what they miss would be believed
    _check_digest(fields, str(path))
    return header


def _fields(header: StoreHeader) -> Any:
    return json.loads(canonical_json(header.to_json()))  # as a reader parses it: all keys texts


def _instead_of_header(folder: Path, error: OSError) -> object:
    """Say what stands where a store should."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return error
    for link in (folder / HEADER_NAME, folder, *folder.parents):
        if link.is_symlink() and not link.exists():
            return f"a link to nowhere, {link}"
    if folder.is_dir():
        return f"no {HEADER_NAME}"
    return "a file" if folder.is_file() else "no folder"


def _shape(fields: Mapping[str, Any], where: str) -> tuple[int, ...]:
    sizes = typed_field(fields, "shape", (list,), where)
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise StoreError(f"{where}: shape", expected="sizes", got=sizes)
    return tuple(sizes)


def _shard_info(fields: Any, where: str) -> ShardInfo:
    if not isinstance(fields, dict):
        raise StoreError(f"{where}: shards", expected="objects", got=type(fields).__name__)
    values: dict[str, Any] = {
        name: typed_field(fields, name, kinds, where)
        for kinds, names in _SHARD_FIELDS.items()
        for name in names
    }
    return ShardInfo(**values)


def _check_digest(fields: Mapping[str, Any], where: str) -> None:
    stated = typed_field(fields, "digest", (str,), where)
    try:
        found = digest({name: value for name, value in fields.items() if name != "digest"})
    except ValueError as error:  # NaN, or half a surrogate pair
        raise StoreError(where, expected="the fields of a store header", got=error) from error
    if found != stated:
        raise StoreError(
            where,
            expected=f"digest {stated}",
            got=found,
            hint=f"it was changed: {heal(Path(where).parent)}",
        )


def _check_within(what: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not low <= value <= high:
        raise StoreError(what, expected=f"a number from {low} to {high}", got=value)


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
