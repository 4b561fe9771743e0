"""Measure how two stored rows of one utterance differ."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np

from featbank.base.units import expand
from featbank.store import MappedShard, Numerics, Store
from featbank.validation.moments import ValueMoments
from featbank.validation.scan import BLOCK_VALUES

Array = np.ndarray[Any, np.dtype[Any]]


class StoredRow(NamedTuple):
    """A row of a store."""

    shard: MappedShard
    row: int

    @property
    def numerics(self) -> Numerics:
        """The class that computed it."""
        return self.shard.spec.numerics

    @property
    def input_digest(self) -> bytes:
        """Digest of the audio that it was computed from."""
        return self.shard.input_digest(self.row)


def find(store: Store, utterance_id: str) -> StoredRow | None:
    """Return where a store holds an utterance."""
    if utterance_id not in store:
        return None
    number = store.row_number(utterance_id)
    shard = bisect_right(store.rows_before, number) - 1
    return StoredRow(store.open_shard(shard), number - store.rows_before[shard])


def same_bits(stored: StoredRow, computed: StoredRow) -> bool:
    """Tell whether two rows are the same bytes, scales included."""
    one, other = stored.shard.stored(stored.row), computed.shard.stored(computed.row)
    scales = stored.shard.scale(stored.row), computed.shard.scale(computed.row)
    return (
        (one.dtype, one.shape) == (other.dtype, other.shape)
        and _bytes(scales[0]) == _bytes(scales[1])
        and all(one[block].tobytes() == other[block].tobytes() for block in _blocks(one))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How two rows of as many frames differ.

    Args:
        num_frames: of each, repeats included.
        num_other_frames: those that differ.
        num_values, num_other_values: likewise; of codes, each of a frame counts.
        max_abs, sum_abs: difference of a value.
        rounding: how much of the greatest difference storing alone may have made.
        moments: of the values just computed; empty for tokens, whose numbers are names.
    """

    num_frames: int
    num_other_frames: int
    num_values: int
    num_other_values: int
    max_abs: float = 0.0
    sum_abs: float = 0.0
    rounding: float = 0.0
    moments: ValueMoments = field(default_factory=ValueMoments)


def measure_features(stored: StoredRow, computed: StoredRow) -> Measure | None:
    """Compare two rows of a feature, block by block, for a recording may be hours long.

    Returns:
        None where they are of other shapes, or a value is not finite.
    """
    frames = computed.shard.stored(computed.row)
    if stored.shard.stored(stored.row).shape != frames.shape:
        return None
    num_other, num_other_values, max_abs, sum_abs, moments = 0, 0, 0.0, 0.0, ValueMoments()
    for block in _blocks(frames):
        theirs = stored.shard.read(stored.row, block.start, block.stop).astype(np.float64)
        ours = computed.shard.read(computed.row, block.start, block.stop).astype(np.float64)
        if not (np.isfinite(theirs).all() and np.isfinite(ours).all()):
            return None
        difference = np.abs(ours - theirs)
        is_other = (difference != 0).reshape(len(ours), -1)
        num_other += int(is_other.any(axis=1).sum())
        num_other_values += int(is_other.sum())
        max_abs = max(max_abs, float(difference.max(initial=0)))
        sum_abs += float(difference.sum())
        moments += ValueMoments.of(ours)
    return Measure(
        num_frames=len(frames),
        num_other_frames=num_other,
        num_values=frames.size,
        num_other_values=num_other_values,
        max_abs=max_abs,
        sum_abs=sum_abs,
        # a value close to the border between two that the dtype has may be rounded down on one
        # machine and up on the other: each is off by the greatest rounding error at most
        rounding=2 * computed.shard.rounding_error(computed.row)[0],
        moments=moments,
    )


def measure_tokens(stored: Sequence[StoredRow], computed: Sequence[StoredRow]) -> Measure | None:
    """Compare the tokens of an utterance frame by frame, merged units by their durations.

    Args:
        stored: of the units or codes; where repeats were merged, of their durations too.
        computed: likewise.

    Returns:
        None where they are not of as many frames.
    """
    theirs, ours = _units(stored), _units(computed)
    if theirs is None or ours is None or theirs.shape != ours.shape:
        return None
    is_other = theirs != ours
    return Measure(
        num_frames=len(ours),
        num_other_frames=int(is_other.any(axis=tuple(range(1, ours.ndim))).sum()),
        num_values=ours.size,
        num_other_values=int(is_other.sum()),
    )


def _units(places: Sequence[StoredRow]) -> Array | None:
    """Return the unit of each frame (T,), or its codes (T, Q).

    None where units and durations are not as many.
    """
    units, *durations = (place.shard.read(place.row) for place in places)
    if not durations:
        return units
    return expand(units, durations[0]) if units.shape == durations[0].shape else None


def _bytes(scale: Array | None) -> bytes:
    return b"" if scale is None else scale.tobytes()


def _blocks(stored: Array) -> Iterator[slice]:
    step = max(1, BLOCK_VALUES // max(1, prod(stored.shape[1:])))
    for start in range(0, len(stored), step):
        yield slice(start, min(start + step, len(stored)))
