"""Batch sampler that puts utterances of similar length together."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from operator import index

import numpy as np
import numpy.typing as npt

from featbank.dataset.filling import Ints, cut
from featbank.dataset.measured import Measured, Utterances
from featbank.dataset.permutation import shuffled
from featbank.dataset.resumable import ResumableSampler
from featbank.errors import ConfigError
from featbank.files.provenance import digest


class BucketBatchSampler(ResumableSampler[list[int]]):
    """Batches of bounded padded size: the `batch_sampler` of a `DataLoader`.

    Utterances are put into buckets by length, and batches are filled to the limit from the shortest
    bucket to the longest; see `filling`. Which utterances of a bucket come together is drawn anew
    each epoch. Every epoch has as many batches, and they are the same on any number of ranks.
    """

    left_out: npt.NDArray[np.int64]
    """Indices of the utterances that `min_length` and `max_length` leave out, rising."""

    def __init__(
        self,
        lengths: Utterances,
        *,
        max_frames: int,
        max_utterances: int | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        name: str | None = None,
        ids: Sequence[str] | None = None,
        num_buckets: int = 60,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        num_ranks: int | None = None,
    ) -> None:
        """Put utterances into batches.

        Args:
            lengths: the `FeatureDataset`, or its `lengths()`; or any, in frames.
            max_frames: of a batch, padding included.
            max_utterances: of a batch.
            min_length: in frames; shorter utterances are left out, and logged.
            max_length: in frames; longer utterances are left out, and logged.
            name: of the dataset's store whose lengths count; of the first one by default.
            ids: of every utterance, beside lengths: errors name them, and a state is of them.
            num_buckets: fewer vary batches more from epoch to epoch, and pad more. There are more
                of them where these would take over a twentieth more batches than none.
            shuffle: draw batches anew each epoch; without, they come from short to long.
            seed: of the drawing.
            drop_last: rather leave the last batches out than give some of them to two ranks.
            rank: of this process; of `torch.distributed` by default.
            num_ranks: that share the batches.

        Raises:
            ConfigError: an utterance is longer than `max_frames`, a number is out of range, or
                lengths are no integers of 0 or more.
        """
        self._measured = Measured.of(lengths, name=name, ids=ids)
        super().__init__(
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            rank=rank,
            num_ranks=num_ranks,
            ids=self._measured.identity(),
        )
        max_frames = _at_least(1, "max_frames", max_frames)
        num_buckets = _at_least(1, "num_buckets", num_buckets)
        max_utterances = _optional(1, "max_utterances", max_utterances)
        shortest = _optional(0, "min_length", min_length)
        longest = _optional(0, "max_length", max_length)
        within = self._measured.within(shortest, longest)
        self.left_out = np.flatnonzero(~within)
        self._kept = np.flatnonzero(within)
        kept = self._measured.lengths[self._kept]
        if kept.max(initial=0) > max_frames:
            called = self._measured.call(int(self._kept[kept.argmax()]))
            raise ConfigError(
                "max_frames of batches",
                expected=f"{kept.max()} or more, the length of utterance {called}",
                got=max_frames,
                hint=f"max_length={max_frames} leaves longer ones out; or read parts of them",
            )
        self._cut = cut(
            kept,
            max_frames=max_frames,
            max_utterances=max_utterances,
            num_buckets=num_buckets if shuffle else None,
        )
        self._settings = [max_frames, max_utterances, shortest, longest, num_buckets]

    @property
    def num_utterances(self) -> int:
        """Number of utterances that were measured, those that are left out included."""
        return len(self._measured.lengths)

    def _num_picks(self) -> int:
        return self._cut.num_batches

    def _order(self) -> Sequence[list[int]]:
        if self.shuffle:
            drawn = shuffled(len(self._kept), self.seed, self.epoch)
            places = drawn[np.argsort(self._cut.buckets[drawn], kind="stable")]
            order = shuffled(self._num_picks(), self.seed, self.epoch, "batches")
        else:
            places = np.argsort(self._measured.lengths[self._kept], kind="stable")
            order = np.arange(self._num_picks())
        return _Batches(self._kept[places], self._cut.edges, order)

    def _made_from(self) -> str:
        lengths = sha256(self._measured.lengths.astype("<i8", copy=False).data).hexdigest()
        return digest(["filled batches", lengths, self._settings])


class _Batches(Sequence[list[int]]):
    """Batches of indices, in the order of an epoch."""

    def __init__(self, sorted_indices: Ints, edges: Ints, order: Ints) -> None:
        self._indices = sorted_indices
        self._edges = edges
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, place: int) -> list[int]:  # type: ignore[override]
        batch = self._order[place]
        indices: list[int] = self._indices[self._edges[batch] : self._edges[batch + 1]].tolist()
        return indices


def _at_least(least: int, name: str, number: int) -> int:
    try:
        checked = index(number)
    except TypeError:
        raise ConfigError(
            f"{name} of batches", expected=f"a whole number, {least} or more", got=repr(number)
        ) from None
    if checked < least:
        raise ConfigError(f"{name} of batches", expected=f"{least} or more", got=number)
    return checked


def _optional(least: int, name: str, number: int | None) -> int | None:
    return None if number is None else _at_least(least, name, number)
