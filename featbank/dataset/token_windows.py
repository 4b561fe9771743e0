"""Tokens of a store as one stream, cut into windows for language models."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from featbank.dataset.resumable import ResumableSampler, shuffled
from featbank.errors import ConfigError, StoreError
from featbank.provenance import digest
from featbank.store import MappedShard, Store, open_store


class TokenWindows(Dataset[torch.Tensor]):
    """The utterances of a token store one after the other, a separator behind each, in windows.

    An item is a tensor (window_length,) of int64. The last window is filled up with separators, so
    that every token is in a window. Nothing is copied or indexed beforehand: where a window lies
    follows from the headers, and the shards say where in it an utterance ends.
    """

    def __init__(
        self,
        store: Store | str | Path,
        window_length: int,
        *,
        separator: int | None = None,
        overlap: int = 0,
    ) -> None:
        """Cut a store into windows.

        Args:
            store: of tokens (T,).
            window_length: tokens of a window.
            separator: stands behind each utterance; by default the codebook's size, the first
                number that is no token.
            overlap: tokens that a window shares with the one before: 1 when it holds the inputs
                and, one further, the targets of a language model.

        Raises:
            ConfigError: the numbers do not fit.
            StoreError: the store is damaged, or does not hold one integer a frame.
        """
        self.store = store if isinstance(store, Store) else open_store(store)
        header = self.store.header
        if header.shape or self.store.dtype.kind not in "iu":
            raise StoreError(
                f"store {self.store.storage_path}",
                expected="one integer a frame",
                got=f"frames of shape {header.shape}, {header.dtype}",
            )
        if window_length < 1:
            raise ConfigError("window_length", expected="1 or more", got=window_length)
        if not 0 <= overlap < window_length:
            raise ConfigError("overlap of windows", expected=f"below {window_length}", got=overlap)
        if separator is None:
            separator = header.codebook_size
        if separator is None:
            raise ConfigError(
                "separator", expected="a number", got="none, and the store states no codebook_size"
            )
        self.window_length = window_length
        self.separator = separator
        self.overlap = overlap
        self._step = window_length - overlap
        # where the tokens and separators of each shard begin in the stream
        self._before = [
            0,
            *accumulate(shard.num_frames + shard.num_utterances for shard in self.store.shards),
        ]

    def __len__(self) -> int:
        """Return the number of windows."""
        total = self._before[-1]
        return max(1, -(-(total - self.overlap) // self._step)) if total else 0

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return a window, (window_length,) int64."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index within {len(self)} windows, got {index}")
        window = np.full(self.window_length, self.separator, np.int64)
        start = index % len(self) * self._step
        number = bisect_right(self._before, start) - 1
        done = 0
        while done < self.window_length and number < len(self.store.shards):
            offset = start + done - self._before[number]
            done += _copy(self.store.open_shard(number), offset, window[done:])
            number += 1
        return torch.from_numpy(window)

    @property
    def windows_before(self) -> list[int]:
        """Windows that begin before each shard, then the total: (num_shards + 1,)."""
        return [min(-(-start // self._step), len(self)) for start in self._before]


class WindowSampler(ResumableSampler[int]):
    """The order of windows in an epoch: the `sampler` of a `DataLoader` over `TokenWindows`.

    Shards are shuffled, and then the windows of a few of them together, so that reads stay in a few
    files. Any place in the order is reached at once.
    """

    def __init__(
        self,
        windows: TokenWindows,
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
        return _ShuffledWindows(
            self._windows.windows_before, self._shards_at_once, (self.seed, self.epoch)
        )

    def _made_from(self) -> str:
        windows = self._windows
        shards = [shard.digest for shard in windows.store.shards]
        sizes = [windows.window_length, windows.overlap, windows.separator, self._shards_at_once]
        return digest([shards, sizes])


class _ShuffledWindows(Sequence[int]):
    """The windows of an epoch; memory holds those of a few shards."""

    def __init__(
        self, windows_before: Sequence[int], shards_at_once: int, key: tuple[int, int]
    ) -> None:
        order = shuffled(len(windows_before) - 1, *key)
        self._groups = [
            [range(windows_before[shard], windows_before[shard + 1]) for shard in group]
            for group in np.split(order, range(shards_at_once, len(order), shards_at_once))
        ]
        self._before = [0, *accumulate(sum(map(len, group)) for group in self._groups)]
        self._key = key
        self._group = -1
        self._drawn: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def __len__(self) -> int:
        return self._before[-1]

    def __getitem__(self, place: int) -> int:  # type: ignore[override]
        group = bisect_right(self._before, place) - 1
        if group != self._group:
            windows = np.concatenate(
                [np.arange(one.start, one.stop) for one in self._groups[group]]
            )
            self._drawn = windows[shuffled(len(windows), *self._key, group)]
            self._group = group
        return int(self._drawn[place - self._before[group]])


def _copy(shard: MappedShard, offset: int, window: npt.NDArray[np.int64]) -> int:
    """Copy the stream of a shard from `offset` on, as much as there is room for; return that."""
    num_rows = len(shard)
    # before row r stand its first frame, as many tokens, and r separators
    row = bisect_right(range(num_rows), offset, key=lambda one: shard.frames(one).start + one) - 1
    done = 0
    while row < num_rows and done < len(window):
        frames = shard.frames(row)
        skipped = offset + done - frames.start - row
        tokens = shard.values(range(frames.start + skipped, frames.stop))[: len(window) - done]
        window[done : done + len(tokens)] = tokens
        # the separator is in the window already
        done += min(len(frames) - skipped + 1, len(window) - done)
        row += 1
    return done
