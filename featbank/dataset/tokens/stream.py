"""Token stream: the utterances of a store one after the other, as steps of a language model."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from featbank.base.units import Units
from featbank.dataset.tokens.numbers import TokenNumbers
from featbank.dataset.tokens.patterns import CodePattern, UtteranceCodes
from featbank.errors import StoreError
from featbank.store import Store


class ShardSize(Protocol):
    """Size and digest of a shard, as a header states them."""

    @property
    def num_frames(self) -> int:
        """Number of frames of all rows."""

    @property
    def num_utterances(self) -> int:
        """Number of rows."""

    @property
    def digest(self) -> str:
        """Digest of the ids and values."""


class OpenedShard(Protocol):
    """Protocol of an open shard: its frames by row, and their values."""

    @property
    def frame_starts(self) -> npt.NDArray[np.int64]:
        """First frame of each row, then the total: (num_rows + 1,)."""

    def __len__(self) -> int: ...

    def frames(self, row: int) -> range:
        """Return the frames of a row."""

    def values(self, frames: range) -> Units:
        """Return the values of consecutive frames of any rows."""


class Tokens(Protocol):
    """Protocol of a token stream's source: a store of tokens, or encoded tokens."""

    @property
    def shards(self) -> Sequence[ShardSize]:
        """Size and digest of each shard, known before it is opened."""

    def open_shard(self, number: int) -> OpenedShard:
        """Open a shard."""


class UtteranceSpan(NamedTuple):
    """The steps of one utterance that lie in a window."""

    shard: OpenedShard
    row: int
    """Of the utterance in the whole store: `store.ids[row]`."""
    frames: range
    """Of the utterance in its shard."""
    first: int
    """The first step, counted in the utterance."""
    place: int
    """Where that stands in the window."""
    length: int


_Part = tuple[OpenedShard, int, range, int, int, int]


class TokenStream:
    """The steps of all utterances in a row: where each lies, and the token that it holds.

    An utterance of T frames has `a T + b` steps, `b` of which do not follow from its length: the
    longest delay, the token at its begin, the separator behind it. So the frames and rows before an
    utterance tell where it begins, and nothing has to be indexed.
    """

    def __init__(
        self,
        tokens: Tokens,
        store: Store,
        pattern: CodePattern | None,
        numbers: TokenNumbers,
        limits: Units | None,
    ) -> None:
        """Lay utterances one after the other.

        Args:
            tokens: (T,) units or, with a pattern, codes.
            store: whose utterances they are of.
            pattern: of codes; None for units.
            numbers: that are put into windows.
            limits: codes are below it, of each codebook its own, though no header says so: they are
                held against it when they are read.
        """
        self.tokens = tokens
        self.numbers = numbers
        self.pattern = pattern
        self.num_rows = store.shape[0] if pattern and not pattern.is_flat else None
        """Tokens of a step, Q; None for one."""
        self._store = store
        self._limits = limits
        # whether values stand in windows as they stand in shards: then nothing lies between
        self._is_plain = pattern is None and limits is None and numbers.offsets is None
        self._begins = 0 if numbers.begin is None else 1
        self._per_frame, more = pattern.steps(store.shape[0]) if pattern else (1, 0)
        self._more = self._begins + more + 1
        self.before = [
            0,
            *accumulate(
                self._per_frame * shard.num_frames + self._more * shard.num_utterances
                for shard in tokens.shards
            ),
        ]
        """Steps before each shard, then the total: (num_shards + 1,)."""

    @property
    def num_steps(self) -> int:
        """Number of steps of all utterances."""
        return self.before[-1]

    def num_steps_of(self, frames: range) -> int:
        """Return the number of steps of an utterance."""
        return self._per_frame * len(frames) + self._more

    def locate(self, row: int) -> tuple[int, int]:
        """Return where the steps of an utterance of the store begin, and where they end."""
        number = bisect_right(self._store.rows_before, row) - 1
        row -= self._store.rows_before[number]
        frames = self.tokens.open_shard(number).frames(row)
        start = self.before[number] + self._per_frame * frames.start + self._more * row
        return start, start + self.num_steps_of(frames)

    def parts(self, start: int, stop: int) -> Iterator[UtteranceSpan]:
        """Yield the utterances in a range of steps, and which of their steps lie in it."""
        return map(UtteranceSpan._make, self._parts(start, stop))

    def body(self, part: UtteranceSpan) -> range:
        """Return where in a window the codes of a part stand, without begin and separator."""
        start = max(part.first, self._begins)
        stop = min(part.first + part.length, self.num_steps_of(part.frames) - 1)
        return range(start - part.first + part.place, max(start, stop) - part.first + part.place)

    def fill(self, window: Units, start: int) -> int:
        """Copy the stream from a step on into a window, (length,) or (Q, length).

        The window holds separators.

        Returns:
            How many steps there were.
        """
        place = length = 0
        begins, per_frame, more = self._begins, self._per_frame, self._more - self._begins - 1
        for part in self._parts(start, start + window.shape[-1]):
            shard, _, frames, first, place, length = part
            first -= begins
            stop = min(first + length, per_frame * len(frames) + more)
            where = place
            if first < 0:
                window[..., place] = self.numbers.begin
                first, where = 0, place + 1
            if first < stop:
                window[..., where : where + stop - first] = (
                    shard.values(range(frames.start + first, frames.start + stop))
                    if self._is_plain
                    else self._steps(part, first, stop)
                )
        return place + length

    def _parts(self, start: int, stop: int) -> Iterator[_Part]:
        """Give what `parts` does, as plain tuples: they cost less."""
        number = bisect_right(self.before, start) - 1
        per_frame, more = self._per_frame, self._more
        place, length = 0, stop - start
        while place < length and number < len(self.tokens.shards):
            shard = self.tokens.open_shard(number)
            offset = start + place - self.before[number]
            row = _row_at(shard, offset, per_frame, more)
            num_rows, rows_before = len(shard), self._store.rows_before[number]
            while row < num_rows and place < length:
                frames = shard.frames(row)
                first = offset - per_frame * frames.start - more * row
                num_steps = min(per_frame * len(frames) + more - first, length - place)
                yield shard, rows_before + row, frames, first, place, num_steps
                place += num_steps
                offset += num_steps
                row += 1
            number += 1

    def _steps(self, part: _Part, start: int, stop: int) -> Units:
        """Return steps of the codes of an utterance."""
        if self.pattern is None:
            return self._codes(part, start, stop)
        codes = UtteranceCodes(
            partial(self._codes, part), len(part[2]), self._store.shape[0], self.numbers.pad
        )
        return self.pattern.read(codes, start, stop)

    def _codes(self, part: _Part, first: int, last: int) -> Units:
        """Return the codes of some frames of an utterance, (n,) or (n, Q), as they are numbered."""
        shard, row, frames = part[:3]
        codes = shard.values(range(frames.start + first, frames.start + last))
        if self._limits is not None and ((codes >= self._limits) | (codes < 0)).any():
            raise StoreError(
                f"utterance {self._store.ids[row]!r} in store {self._store.storage_path}",
                expected=f"units below {' or '.join(map(str, self._limits.tolist()))}",
                got=codes[(codes >= self._limits) | (codes < 0)][0],
                hint="state the codebook_size, or another separator",
            )
        if self.numbers.offsets is not None:
            return codes.astype(np.int64) + self.numbers.offsets
        return codes.astype(np.int64)


def _row_at(shard: OpenedShard, offset: int, per_frame: int, more: int) -> int:
    """Return the row that has a step of a shard, counted from its first."""
    starts = shard.frame_starts

    def steps_before(row: int) -> int:
        return per_frame * starts.item(row) + more * row

    return bisect_right(range(len(shard)), offset, key=steps_before) - 1
