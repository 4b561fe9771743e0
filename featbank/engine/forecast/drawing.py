"""Draw utterances to be timed: rows by chance, or whole batches in the shares of their shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappush, heappushpop

from xxhash import xxh3_64_intdigest

from featbank.base.manifest import Utterance
from featbank.features.shapes import BatchShape

Row = tuple[str, Utterance]
"""A split and an utterance of it."""

_MAX_ROWS = 4096  # drawn of one shape
_NUM_BATCHES = 96  # of all shapes together: 13 hours at 480 s, seconds of a fast device
_COVERED = 0.98  # of the audio, by the shapes of which batches are drawn
_ALONE_S = 60.0  # of audio that is computed alone, as one batch of the sample


class RowSample:
    """Keeps some of the rows that it is given: by chance, and always the same of the same rows.

    Args:
        size: rows to keep at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, str, str, Utterance]] = []

    def add(self, split: str, row: Utterance) -> None:
        """Take a row into account."""
        push = heappush if len(self._heap) < self._size else heappushpop
        push(self._heap, (-xxh3_64_intdigest(row.id.encode()), row.id, split, row))

    @property
    def rows(self) -> list[Row]:
        """Those that are kept, in an order of chance."""
        return [(split, row) for _, _, split, row in sorted(self._heap, reverse=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBatch:
    """Utterances of one split that are computed together.

    Args:
        split: of all of them.
        shape: that they are computed in; None where each is computed alone.
        rows: as many as the shape has, or all that there are.
    """

    split: str
    shape: BatchShape | None
    rows: Sequence[Utterance]

    @property
    def audio_s(self) -> float:
        """Seconds of audio, padding apart."""
        return sum(row.duration_s for row in self.rows)


class BatchSample:
    """Draws whole batches, of each shape as many as its share of the audio asks for.

    Args:
        shape_of: the shape that a row is computed in; None for alone.
    """

    def __init__(self, shape_of: Callable[[Utterance], BatchShape | None]) -> None:
        self._shape_of = shape_of
        self._drawn: dict[tuple[str, BatchShape | None], RowSample] = {}
        self._audio_s: dict[tuple[str, BatchShape | None], float] = defaultdict(float)

    def add(self, split: str, row: Utterance) -> None:
        """Take a row into account."""
        shape = self._shape_of(row)
        key = split, shape
        if key not in self._drawn:
            most = _NUM_BATCHES * (shape.rows if shape else 1)
            self._drawn[key] = RowSample(min(_MAX_ROWS, most))
        self._drawn[key].add(split, row)
        self._audio_s[key] += row.duration_s

    @property
    def batches(self) -> list[DrawnBatch]:
        """The batches, so ordered that their beginning holds the shapes in their shares, too."""
        total_s = sum(self._audio_s.values())
        placed: list[tuple[float, int, DrawnBatch]] = []
        covered_s = 0.0
        for key in sorted(self._audio_s, key=lambda key: -self._audio_s[key]):
            if covered_s > _COVERED * total_s:
                break
            covered_s += self._audio_s[key]
            wanted = max(1, round(_NUM_BATCHES * self._audio_s[key] / total_s))
            whole = _cut(self._drawn[key].rows, *key)[:wanted]
            placed += [
                ((place + 0.5) / len(whole), len(placed), batch)
                for place, batch in enumerate(whole)
            ]
        return [batch for _, _, batch in sorted(placed, key=lambda one: one[:2])]


def _cut(rows: Sequence[Row], split: str, shape: BatchShape | None) -> list[DrawnBatch]:
    """Cut rows of one shape into batches: whole ones, unless there is none."""
    found: list[list[Utterance]] = [[]]
    for _, row in rows:
        if _is_full(found[-1], shape):
            found.append([])
        found[-1].append(row)
    if len(found) > 1 and not _is_full(found[-1], shape):
        found.pop()
    return [DrawnBatch(split=split, shape=shape, rows=rows) for rows in found]


def _is_full(rows: Sequence[Utterance], shape: BatchShape | None) -> bool:
    if shape is not None:
        return len(rows) >= shape.rows
    return sum(row.duration_s for row in rows) >= _ALONE_S
