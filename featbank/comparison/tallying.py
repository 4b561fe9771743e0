"""Count what became of the rows of a store, and measure those whose values are others."""

from __future__ import annotations

from collections import Counter

from featbank.comparison.findings import RowChange, RowState, ValueChange
from featbank.comparison.measuring import (
    Array,
    Measure,
    StoredRow,
    measure_features,
    measure_tokens,
)
from featbank.errors import StoreError
from featbank.stability.flips import unit_edit_distance
from featbank.store.encoding import checksum
from featbank.store.format import NO_DIGEST
from featbank.store.verify import is_sound


class RowTally:
    """Takes the rows of two stores one after the other; memory holds some of them by name.

    Args:
        is_tokens: whether numbers are names.
        same_fingerprint: whether both stores are made in the same way.
        limit: how many rows of each state are named; None for all.
    """

    def __init__(self, *, is_tokens: bool, same_fingerprint: bool, limit: int | None) -> None:
        self._is_tokens = is_tokens
        self._same_fingerprint = same_fingerprint
        self._limit = limit
        self.states: Counter[RowState] = Counter()
        self.num_unchanged = self.num_same_values = 0
        self.changes: list[RowChange] = []
        """Some of the rows that are not as they were."""
        self.problems: list[str] = []
        """Rows whose values could not be read."""
        self._values = _ValueTally(is_tokens)

    def names_more(self, state: RowState) -> bool:
        """Tell whether the next row of a state would be named."""
        return self._limit is None or self.states[state] < self._limit

    def add(self, utterance_id: str, row: StoredRow) -> None:
        """Count a row that is new."""
        self._note(RowChange(id=utterance_id, state=RowState.ADDED, frames_after=_length(row)))

    def remove(self, utterance_id: str, row: StoredRow) -> None:
        """Count a row that is gone."""
        self._note(RowChange(id=utterance_id, state=RowState.REMOVED, frames_before=_length(row)))

    def compare(self, utterance_id: str, before: StoredRow, after: StoredRow) -> None:
        """Count a row that both have, and measure its values where they differ."""
        has_same_values = _has_same_values(before, after)
        stated = {before.input_digest, after.input_digest} - {NO_DIGEST}
        if len(stated) > 1:
            state = RowState.INPUT
        elif not self._same_fingerprint:
            state = RowState.FINGERPRINT
        elif not has_same_values:
            state = RowState.VALUES
        else:
            self.num_unchanged += 1
            return
        measure = None
        if has_same_values:
            self.num_same_values += 1
        else:
            try:
                measure = self._values.add(before, after)
            except StoreError as error:
                self.problems.append(f"values of utterance {utterance_id!r}: {error}")
        is_measured = measure is not None and measure.num_values > 0
        self._note(
            RowChange(
                id=utterance_id,
                state=state,
                frames_before=_length(before),
                frames_after=_length(after),
                max_abs=measure.max_abs if measure and not self._is_tokens else None,
                flip_rate=measure.num_other_values / measure.num_values
                if measure and is_measured and self._is_tokens
                else None,
            )
        )

    def values(self) -> ValueChange | None:
        """Return how the values differ; None where no row has others."""
        return self._values.result()

    def _note(self, change: RowChange) -> None:
        if self.names_more(change.state):
            self.changes.append(change)
        self.states[change.state] += 1


class _ValueTally:
    """Sums up how the values of rows differ.

    Args:
        is_tokens: whether numbers are names.
    """

    def __init__(self, is_tokens: bool) -> None:
        self._is_tokens = is_tokens
        self._num_measured = self._num_frames = self._num_other_frames = 0
        self._num_values = self._num_other_values = 0
        self._max_abs = self._sum_abs = 0.0
        self._num_other_length = self._num_apart = self._num_other_shape = 0
        self._num_edited, self._sum_edits = 0, 0.0

    def add(self, before: StoredRow, after: StoredRow) -> Measure | None:
        """Measure a row; None where it cannot be held against the other one frame by frame.

        Raises:
            StoreError: it is damaged.
        """
        for one in (before, after):
            if not is_sound(one.shard, one.row):
                raise one.shard.damaged("the values that were written", "others")
        if before.shard.spec.shape != after.shard.spec.shape:
            self._num_other_shape += 1
            return None
        apart = abs(_length(before) - _length(after))
        if apart:
            self._num_other_length += 1
            self._num_apart += apart
            if self._is_tokens and _length(before):
                self._num_edited += 1
                self._sum_edits += _edit_distance(_tokens(before), _tokens(after))
            return None
        measure = (
            measure_tokens([before], [after])
            if self._is_tokens
            else measure_features(before, after)
        )
        if measure is not None:
            self._num_measured += 1
            self._num_frames += measure.num_frames
            self._num_other_frames += measure.num_other_frames
            self._num_values += measure.num_values
            self._num_other_values += measure.num_other_values
            self._max_abs = max(self._max_abs, measure.max_abs)
            self._sum_abs += measure.sum_abs
        return measure

    def result(self) -> ValueChange | None:
        """Return the sums; None where no row was added."""
        if not self._num_measured + self._num_other_length + self._num_other_shape:
            return None
        has_values, is_tokens = self._num_values > 0, self._is_tokens
        has_differences = has_values and not is_tokens
        return ValueChange(
            num_utterances=self._num_measured,
            num_frames=self._num_frames,
            num_other_frames=self._num_other_frames,
            max_abs=self._max_abs if has_differences else None,
            mean_abs=self._sum_abs / self._num_values if has_differences else None,
            flip_rate=self._num_other_values / self._num_values
            if has_values and is_tokens
            else None,
            num_other_length=self._num_other_length,
            num_frames_apart=self._num_apart,
            unit_edit_distance=self._sum_edits / self._num_edited if self._num_edited else None,
            num_other_shape=self._num_other_shape,
        )


def _has_same_values(before: StoredRow, after: StoredRow) -> bool:
    """Tell by the checksums whether two rows are of the same stored bytes; no value is read."""
    one, other = before.shard.spec, after.shard.spec
    return (
        before.shard.checksum(before.row) == after.shard.checksum(after.row)
        and _length(before) == _length(after)
        and (one.dtype, one.shape) == (other.dtype, other.shape)
        and _scale_sum(before) == _scale_sum(after)
    )


def _scale_sum(row: StoredRow) -> int:
    scale = row.shard.scale(row.row)
    return 0 if scale is None else checksum(scale)


def _length(row: StoredRow) -> int:
    return len(row.shard.frames(row.row))


def _tokens(row: StoredRow) -> Array:
    return row.shard.read(row.row)


def _edit_distance(before: Array, after: Array) -> float:
    """Return the unit edit distance, (T,) and (T',); of codes, (T, Q), the mean over codebooks."""
    ours, theirs = before.reshape(len(before), -1), after.reshape(len(after), -1)
    distances = [
        unit_edit_distance(one, other) for one, other in zip(ours.T, theirs.T, strict=True)
    ]
    return sum(distances) / len(distances)
