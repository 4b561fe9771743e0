"""Batches of utterances of like length."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from featbank.dataset.resumable import ResumableSampler, shuffled
from featbank.errors import ConfigError


class BucketBatchSampler(ResumableSampler[list[int]]):
    """Batches whose padded size stays below a limit: the `batch_sampler` of a `DataLoader`.

    Utterances are put into buckets by length, each bucket with about the same number of frames; a
    batch is taken from one bucket, as many as fit when all were as long as the bucket's longest.
    """

    def __init__(
        self,
        lengths: Sequence[int] | npt.NDArray[np.int64],
        *,
        max_frames: int,
        max_utterances: int | None = None,
        num_buckets: int = 30,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        num_ranks: int | None = None,
    ) -> None:
        """Put utterances into buckets.

        Args:
            lengths: of every utterance, in frames: `dataset.lengths()`.
            max_frames: of a batch, padding included.
            max_utterances: of a batch.
            num_buckets: at most; fewer where many lengths are the same.
            shuffle: draw batches anew each epoch; without, they come from short to long.
            seed: of the drawing.
            drop_last: rather leave the last batches out than give some of them to two ranks.
            rank: of this process; of `torch.distributed` by default.
            num_ranks: that share the batches.

        Raises:
            ConfigError: an utterance is longer than `max_frames`, or a number is not positive.
        """
        super().__init__(
            shuffle=shuffle, seed=seed, drop_last=drop_last, rank=rank, num_ranks=num_ranks
        )
        for name, number in (
            ("max_frames", max_frames),
            ("max_utterances", 1 if max_utterances is None else max_utterances),
            ("num_buckets", num_buckets),
        ):
            if number < 1:
                raise ConfigError(f"{name} of batches", expected="1 or more", got=number)
        self._lengths = np.ascontiguousarray(lengths, np.int64)
        if self._lengths.max(initial=0) > max_frames:
            longest = int(self._lengths.argmax())
            raise ConfigError(
                "max_frames of batches",
                expected=f"{self._lengths[longest]} or more, the length of utterance {longest}",
                got=max_frames,
                hint="leave longer utterances out, or read parts of them",
            )
        bounds = _bounds(self._lengths, num_buckets)
        # stable: without shuffling, utterances of a bucket keep their order
        self._bucket = np.searchsorted(bounds, self._lengths).astype(np.int32)
        sizes = max_frames // np.maximum(bounds, 1)
        if max_utterances is not None:
            sizes = np.minimum(sizes, max_utterances)
        # the batches, as places in the utterances sorted by bucket: start, stop
        counts = np.bincount(self._bucket, minlength=len(bounds))
        ends = np.cumsum(counts)
        starts = [
            np.arange(first, last, size)
            for first, last, size in zip(ends - counts, ends, sizes, strict=True)
        ]
        self._edges = np.concatenate([*starts, [len(self._lengths)]]).astype(np.int64)

    def _num_picks(self) -> int:
        return len(self._edges) - 1

    def _order(self) -> Sequence[list[int]]:
        if not self.shuffle:
            by_bucket = np.argsort(self._bucket, kind="stable")
            return _Batches(by_bucket, self._edges, np.arange(self._num_picks()))
        drawn = shuffled(len(self._lengths), self.seed, self.epoch)
        by_bucket = drawn[np.argsort(self._bucket[drawn], kind="stable")]
        order = shuffled(self._num_picks(), self.seed, self.epoch, "batches")
        return _Batches(by_bucket, self._edges, order)

    def _made_from(self) -> str:
        made_from = sha256(self._lengths.tobytes())
        made_from.update(self._edges.tobytes())
        return made_from.hexdigest()


class _Batches(Sequence[list[int]]):
    """Batches of indices, in the order of an epoch."""

    def __init__(
        self,
        by_bucket: npt.NDArray[np.int64],
        edges: npt.NDArray[np.int64],
        order: npt.NDArray[np.int64],
    ) -> None:
        self._by_bucket = by_bucket
        self._edges = edges
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, place: int) -> list[int]:  # type: ignore[override]
        batch = self._order[place]
        indices: list[int] = self._by_bucket[self._edges[batch] : self._edges[batch + 1]].tolist()
        return indices


def _bounds(lengths: npt.NDArray[np.int64], num_buckets: int) -> npt.NDArray[np.int64]:
    """Return the longest length of each bucket, rising: buckets hold about equally many frames."""
    if not len(lengths):
        return np.empty(0, np.int64)
    ordered = np.sort(lengths)
    frames = np.cumsum(np.maximum(ordered, 1))
    shares = frames[-1] * np.arange(1, num_buckets + 1) // num_buckets
    return np.unique(ordered[np.searchsorted(frames, shares)])
