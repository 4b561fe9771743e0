"""Scan of the values of a shard: moments, token counts and faulty rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any

import numpy as np

from featbank.store import MappedShard, ShardSpec
from featbank.validation.moments import ColumnMoments
from featbank.validation.result import Example
from featbank.validation.usage import TokenCounts

BLOCK_VALUES = 1 << 17
"""Values looked at together: 1 MB as float64, which a processor's cache holds."""

MAX_COLUMNS, MAX_CELLS = 200, 80
MAX_TOKENS = 1000

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRules:
    """Rules that the values of a store must keep, besides being finite.

    Args:
        num_units: tokens lie below it; None for what is no tokens, or for an unknown codebook.
        num_codebooks: tokens of a frame, each of a codebook of its own.
        minimum: of all values; None for no bound.
    """

    num_units: int | None = None
    num_codebooks: int = 1
    minimum: int | None = None

    def describe(self) -> str:
        """Return the rules as text."""
        if self.num_units is not None:
            return f"units from 0 to {self.num_units - 1}"
        return "finite values" if self.minimum is None else f"values from {self.minimum} on"

    def counts(self, spec: ShardSpec) -> bool:
        """Tell whether the tokens of a shard can be counted: not where it has another shape."""
        return self.num_units is not None and prod(spec.shape) == self.num_codebooks

    def no_counts(self) -> TokenCounts:
        """Return empty token counts; of no codebook where there are none."""
        return TokenCounts(0 if self.num_units is None else self.num_codebooks, self.num_units or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardScan:
    """Result of one pass over the values of a shard.

    Args:
        moments: of the finite values, by their place in a frame.
        counts: of the tokens as they are stored; of no codebook where there are none.
        faults: by kind, how many frames of which row.
    """

    moments: ColumnMoments
    counts: TokenCounts
    faults: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


def scan_shard(shard: MappedShard, rules: ValueRules) -> ShardScan:
    """Read all values of a shard once, in blocks of about `BLOCK_VALUES`.

    Raises:
        StoreError: its rows lie outside its values.
    """
    starts = np.array([shard.frames(row).start for row in range(len(shard))], np.int64)
    moments = ColumnMoments()
    counts = rules.no_counts()
    counted = rules.counts(shard.spec)
    before: Array | None = None
    faults: dict[str, Counter[int]] = defaultdict(Counter)
    for frames in _blocks(shard):
        values = shard.values(frames)
        finite = np.isfinite(values)
        moments += ColumnMoments.of(values, finite)
        if counted:
            first, last = np.searchsorted(starts, [frames.start, frames.stop])
            begins = np.zeros(len(values), bool)
            begins[starts[first:last] - frames.start] = True
            tokens = values.reshape(len(values), rules.num_codebooks)
            counts.add(tokens, begins, before)
            before = tokens[-1]
        for kind, wrong in _wrong_frames(values, finite, rules):
            # of several rows that start at one frame the last is not empty
            rows = np.searchsorted(starts, frames.start + np.flatnonzero(wrong), "right") - 1
            found, times = np.unique(rows, return_counts=True)
            faults[kind].update(dict(zip(found.tolist(), times.tolist(), strict=True)))
    return ShardScan(moments=moments, counts=counts, faults=faults)


def make_example(utterance_id: str, values: Array, *, codes: bool = False) -> Example:
    """Shrink an utterance's values (T, ...) for a picture by averaging neighbours.

    One number a frame, (T,), and codes, (T, Q), are no quantities to average: of neighbours the
    first is kept, so that `MAX_TOKENS` columns remain of (T,) and `MAX_COLUMNS` of codes.
    """
    single = values.ndim == 1
    tokens = single or codes
    per_column = max(1, ceil(len(values) / (MAX_TOKENS if single else MAX_COLUMNS)))
    table = values[:: per_column if tokens else 1]
    table = table.reshape(len(table), prod(values.shape[1:]))
    per_cell = 1 if tokens else max(1, ceil(table.shape[1] / MAX_CELLS))
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN, as it should be
        pooled = _average(table.astype(np.float64), 1 if tokens else per_column)
        pooled = _average(pooled.T, per_cell).T
    return Example(
        id=utterance_id,
        num_frames=len(values),
        frames_per_column=per_column,
        values_per_cell=per_cell,
        columns=tuple(tuple(_short(value) for value in column) for column in pooled.tolist()),
    )


def _blocks(shard: MappedShard) -> Iterator[range]:
    step = max(1, BLOCK_VALUES // max(1, prod(shard.spec.shape)))
    for start in range(0, shard.num_frames, step):
        yield range(start, min(start + step, shard.num_frames))


def _wrong_frames(values: Array, finite: Array, rules: ValueRules) -> Iterator[tuple[str, Array]]:
    """Give each kind of wrong value with a mask (num_frames,) of where it is."""
    if not finite.all():
        yield "NaN", _any_in_frame(np.isnan(values))
        yield "infinite", _any_in_frame(np.isinf(values))
    if rules.num_units is not None:
        yield "unknown unit", _any_in_frame((values < 0) | (values >= rules.num_units))
    if rules.minimum is not None:
        yield f"below {rules.minimum}", _any_in_frame(values < rules.minimum)


def _any_in_frame(mask: Array) -> Array:
    wrong: Array = np.any(mask.reshape(len(mask), -1), axis=1)
    return wrong


def _average(table: Array, size: int) -> Array:
    """Average every `size` rows of (N, M) into one; the last may have fewer."""
    if size == 1 or not len(table):
        return table
    starts = np.arange(0, len(table), size)
    sums: Array = np.add.reduceat(table, starts, axis=0)
    return sums / np.diff(starts, append=len(table))[:, None]


def _short(value: float) -> float | None:
    return float(f"{value:.3g}") if np.isfinite(value) else None
