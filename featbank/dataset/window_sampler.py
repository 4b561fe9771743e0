"""Sampler of windows of tokens: the order in which they are read in an epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from featbank.dataset.permutation import Permutation, shuffled
from featbank.dataset.resumable import ResumableSampler
from featbank.errors import ConfigError
from featbank.files.provenance import digest

_ORDER = "permuted in groups of shards"
"""Stands for the way an order is drawn: a state of another way is another order's."""


class Windows(Protocol):
    """Protocol of the windows that a sampler reads: `TokenWindows`, or `PackedWindows` of them."""

    def __len__(self) -> int: ...

    @property
    def windows_before(self) -> Sequence[int]:
        """Number of windows that begin before each shard, then the total: (num_shards + 1,)."""

    def made_from(self) -> str:
        """Return a digest of all that the windows follow from."""


class WindowSampler(ResumableSampler[int]):
    """The order of windows in an epoch: the `sampler` of a `DataLoader` over `TokenWindows`.

    Shards are shuffled, and then the windows of a few of them together, so that reads stay in a few
    files. Any place in the order is computed at once, and no list of windows is made.
    """

    def __init__(
        self,
        windows: Windows,
        *,
        shards_at_once: int = 8,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        num_ranks: int | None = None,
    ) -> None:
        """Prepare to sample.

        Args:
            windows: to be sampled.
            shards_at_once: shards whose windows are shuffled together.
            shuffle: draw the order anew each epoch; without, it is that of the stream.
            seed: of the drawing.
            drop_last: rather leave the last windows out than give some of them to two ranks.
            rank: of this process; of `torch.distributed` by default.
            num_ranks: that share the windows.
        """
        super().__init__(
            shuffle=shuffle, seed=seed, drop_last=drop_last, rank=rank, num_ranks=num_ranks
        )
        if shards_at_once < 1:
            raise ConfigError("shards_at_once", expected="1 or more", got=shards_at_once)
        self._windows = windows
        self._shards_at_once = shards_at_once

    def _num_picks(self) -> int:
        return len(self._windows)

    def _order(self) -> Sequence[int]:
        if not self.shuffle:
            return range(len(self._windows))
        return ShuffledWindows(
            self._windows.windows_before, self._shards_at_once, (self.seed, self.epoch)
        )

    def _made_from(self) -> str:
        return digest([_ORDER, self._windows.made_from(), self._shards_at_once])


class ShuffledWindows(Sequence[int]):
    """Shuffled order of an epoch's windows, each computed from its place in the order."""

    def __init__(
        self, windows_before: Sequence[int], shards_at_once: int, key: tuple[int, int]
    ) -> None:
        """Draw an order.

        Args:
            windows_before: windows that begin before each shard, then the total.
            shards_at_once: shards whose windows are shuffled together.
            key: seed and epoch.
        """
        before = np.asarray(windows_before, np.int64)
        order = shuffled(len(before) - 1, *key)
        # of the shards in their new order: the first window, and how many of all came before
        self._first: list[int] = before[order].tolist()
        self._before: list[int] = np.cumsum([0, *np.diff(before)[order]]).tolist()
        self._shards_at_once = shards_at_once
        self._key = key
        # the windows of the group of shards that was read last: where they begin, and their order
        self._drawn = 0, Permutation(0)

    def __len__(self) -> int:
        """Return the number of windows."""
        return self._before[-1]

    def __getitem__(self, place: int) -> int:  # type: ignore[override]
        """Return the number of the window at a place.

        Raises:
            IndexError: there is no such place.
        """
        if not 0 <= place < len(self):
            raise IndexError(f"expected a place within {len(self)}, got {place}")
        start, order = self._drawn
        if not start <= place < start + len(order):
            group = (bisect_right(self._before, place) - 1) // self._shards_at_once
            first = group * self._shards_at_once
            stop = min(first + self._shards_at_once, len(self._first))
            start, order = (
                self._before[first],
                Permutation(self._before[stop] - self._before[first], *self._key, group),
            )
            self._drawn = start, order
        drawn = start + order[place - start]
        shard = bisect_right(self._before, drawn) - 1
        return self._first[shard] + drawn - self._before[shard]
