"""Packing of whole sequences into windows of one length, by best fit."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from featbank.dataset.tokens.numbers import stands_beside
from featbank.dataset.tokens.packed_windows import PackedWindow
from featbank.errors import ConfigError
from featbank.files.provenance import digest

Ints = npt.NDArray[np.int64]


def best_fit(lengths: Sequence[int] | Ints, limit: int) -> Ints:
    """Return the bin of each item, so that no bin holds more than the limit: (N,).

    Best fit decreasing (Johnson, 1973): from the longest to the shortest, each goes where the least
    room is left beside it. Among equals, the order of items decides. A bin is numbered by the first
    of its items.

    Args:
        lengths: of the items, from 0 to the limit.
        limit: of the sum of a bin's lengths.

    >>> best_fit([6, 3, 5, 4, 2], 10).tolist()
    [0, 1, 1, 0, 1]
    """
    wanted = np.asarray(lengths, np.int64)
    bins = np.empty(len(wanted), np.int64)
    with_room: list[list[int]] = [[] for _ in range(limit + 1)]
    rooms = 0  # bit n: a bin has room n
    num_bins = 0
    for item in np.argsort(-wanted, kind="stable").tolist():
        length = int(wanted[item])
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            number = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
        else:
            room, number = limit, num_bins
            num_bins += 1
        bins[item] = number
        with_room[room - length].append(number)
        rooms |= 1 << (room - length)
    _, first, inverse = np.unique(bins, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    renumbered: Ints = order[inverse]
    return renumbered


class PackedSequences(Dataset[PackedWindow]):
    """Sequences packed into windows: an item is a `PackedWindow`, its documents the sequences.

    Which sequences share a window follows from their lengths alone, so any window is read at once,
    in every epoch the same; `WindowSampler` draws the order of windows. Only a sequence that is
    longer than a window is cut, and then a piece begins with the last token of the one before, so
    that each token but the first is predicted once.
    """

    def __init__(
        self,
        sequences: Dataset[Any],
        window_length: int,
        *,
        padding: int,
        lengths: Sequence[int] | Ints | None = None,
    ) -> None:
        """Pack sequences.

        Args:
            sequences: such as `TextAndSpeech`: items with `tokens` (L,) and `loss_mask` (L,). Where
                they change with the epoch, pack those of each: `sequences.in_epoch(1)`.
            window_length: tokens of a window.
            padding: fills windows up, where nothing is a target: an id of the vocabulary.
            lengths: of all sequences, as `lengths` of an earlier packing has them: without, each is
                made once to be measured.

        Raises:
            ConfigError: the numbers do not fit.
        """
        self.window_length = operator.index(window_length)
        if self.window_length < 2:
            raise ConfigError("window_length", expected="2 or more", got=window_length)
        sized: Any = sequences  # torch gives no dataset a length
        self._sequences = sequences
        self._padding = stands_beside("padding of windows", padding, None)
        count = len(sized)
        if lengths is None:
            lengths = [len(self._sequences[number].tokens) for number in range(count)]
        if len(lengths) != count:
            raise ConfigError("lengths", expected=f"those of {count} sequences", got=len(lengths))
        self.lengths = np.asarray(lengths, np.int64)
        """Of the sequences, in tokens."""
        # pieces, one after the other: of which sequence, and its first token there
        step = self.window_length - 1
        num_pieces = np.maximum(1, -(-(self.lengths - 1) // step))
        num_pieces[self.lengths == 0] = 0
        self._of = np.repeat(np.arange(count), num_pieces)
        number = np.arange(len(self._of)) - np.repeat(
            np.cumsum(num_pieces) - num_pieces, num_pieces
        )
        self._first = number * step
        self._size = np.minimum(self.lengths[self._of] - self._first, self.window_length)
        bins = best_fit(self._size, self.window_length)
        self._pieces = np.argsort(bins, kind="stable")
        self._edges = np.searchsorted(bins[self._pieces], np.arange(bins.max(initial=-1) + 2))

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._edges) - 1

    def __getitem__(self, index: int) -> PackedWindow:
        """Return a window.

        Raises:
            ConfigError: a sequence has another length than when it was packed.
        """
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index within {len(self)} windows, got {index}")
        length = self.window_length
        tokens = torch.full((length,), self._padding)
        document_ids = torch.full((length,), -1)
        positions = torch.empty(length, dtype=torch.int64)
        loss_mask = torch.zeros(length, dtype=torch.bool)
        place = 0
        start, stop = self._edges[index % len(self) : index % len(self) + 2]
        for piece in self._pieces[start:stop].tolist():
            number, first, size = int(self._of[piece]), int(self._first[piece]), self._size[piece]
            item, end = self._sequences[number], place + int(size)
            if len(item.tokens) != self.lengths[number]:
                raise ConfigError(
                    f"length of sequence {number}",
                    expected=f"{self.lengths[number]}, as it was packed",
                    got=len(item.tokens),
                    hint="pack sequences again that are drawn anew",
                )
            tokens[place:end] = item.tokens[first : first + end - place]
            loss_mask[place:end] = item.loss_mask[first : first + end - place]
            # in a later piece it was a target of the one before
            loss_mask[place] = False
            document_ids[place:end] = number
            positions[place:end] = torch.arange(end - place)
            place = end
        positions[place:] = torch.arange(length - place)
        return PackedWindow(tokens, document_ids, positions, loss_mask)

    @property
    def fill(self) -> float:
        """Share of the windows' tokens that are no padding."""
        return float(self._size.sum()) / max(1, len(self) * self.window_length)

    @property
    def windows_before(self) -> list[int]:
        """Number of windows that begin before each group that a sampler draws from: one group."""
        return [0, len(self)]

    def made_from(self) -> str:
        """Return a digest of what the windows follow from."""
        made_from = getattr(self._sequences, "made_from", None)
        of = type(self._sequences).__name__ if made_from is None else made_from()
        lengths = sha256(self.lengths.astype("<i8").tobytes()).hexdigest()
        return digest([of, lengths, self.window_length, self._padding])
