"""Samplers whose order follows from a seed and an epoch, and that go on where a run was stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from operator import index
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch.distributed
from torch.utils.data import Sampler

from featbank.errors import ConfigError
from featbank.provenance import digest

Pick = TypeVar("Pick")


class ResumableSampler(Sampler[Pick], ABC):
    """Gives the picks of one rank, out of an order that all ranks share.

    The order of an epoch is a function of the seed, the epoch and the data, whatever the number of
    ranks and workers; rank r of R is given picks r, r + R, r + 2 R and so on. Like torch's
    `DistributedSampler` it is told the epoch by `set_epoch`, and at the end gives the ranks that
    would be short the first picks again, or drops the last ones with `drop_last`.
    """

    def __init__(
        self,
        *,
        shuffle: bool,
        seed: int,
        drop_last: bool,
        rank: int | None,
        num_ranks: int | None,
    ) -> None:
        if (rank is None) != (num_ranks is None):
            raise ConfigError("rank and num_ranks", expected="both or neither", got="one of them")
        if rank is None or num_ranks is None:
            together = torch.distributed.is_available() and torch.distributed.is_initialized()
            rank = torch.distributed.get_rank() if together else 0
            num_ranks = torch.distributed.get_world_size() if together else 1
        if not 0 <= rank < num_ranks:
            raise ConfigError("rank", expected=f"0 to {num_ranks - 1}", got=rank)
        self.rank = rank
        self.num_ranks = num_ranks
        self.shuffle = shuffle
        self.seed = index(seed)  # of NumPy's integers too, which would be another key
        self.drop_last = drop_last
        self.epoch = 0
        self._resumed = 0  # picks of all ranks that were done before a state was loaded
        self._start = 0  # picks of all ranks before the next iteration begins
        self._given = 0  # picks of all ranks before the one that this rank is given next

    @abstractmethod
    def _order(self) -> Sequence[Pick]:
        """Return the picks of the epoch, of all ranks."""

    @abstractmethod
    def _num_picks(self) -> int:
        """Return how many there are in an epoch."""

    @abstractmethod
    def _made_from(self) -> str:
        """Return a digest of what the order follows from, apart from seed and epoch."""

    def __len__(self) -> int:
        """Return how many picks this rank is given in a whole epoch."""
        return self._num_left(0)

    def __iter__(self) -> Iterator[Pick]:
        """Give this rank's picks: from the start of the epoch, or from where it was stopped."""
        order = self._order()
        self._given, self._resumed, self._start = self._start, self._start, 0
        for _ in range(self._num_left(self._given)):
            pick = order[(self._given + self.rank) % len(order)]
            self._given += self.num_ranks
            yield pick

    def set_epoch(self, epoch: int) -> None:
        """Begin another epoch; to go on in the one that a state was loaded of changes nothing."""
        if epoch != self.epoch:
            self._resumed = self._start = self._given = 0
        self.epoch = index(epoch)

    def state_dict(self, num_done: int | None = None) -> dict[str, Any]:
        """Return where this run is, for `load_state_dict` of any rank of a later one.

        Args:
            num_done: picks that each rank is done with, counted from the start of the epoch or,
                where this run went on in it, from there. None for as many as were given, which with
                the workers of a `DataLoader` is more: they fetch ahead. Then count them yourself.
        """
        return {
            "epoch": self.epoch,
            "num_done": self._given
            if num_done is None
            else self._resumed + num_done * self.num_ranks,
            "order": self._identity(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken: the next iteration gives what was not done then.

        The number of ranks may be another.

        Raises:
            ConfigError: the state is of other data, another seed or other settings.
        """
        if state.get("order") != self._identity():
            raise ConfigError(
                "state of a sampler",
                expected="the data, seed and settings that it is of",
                got="others",
                hint="make the sampler as it was made then, or begin an epoch anew",
            )
        self.epoch = state["epoch"]
        self._resumed = self._start = self._given = state["num_done"]

    def _num_left(self, given: int) -> int:
        left = max(0, self._num_picks() - given)
        return left // self.num_ranks if self.drop_last else -(-left // self.num_ranks)

    def _identity(self) -> str:
        return digest([self.seed, self.shuffle, self._made_from()])[:16]


def shuffled(count: int, *key: object) -> npt.NDArray[np.int64]:
    """Return 0 to count - 1 in an order that follows from the key alone, on any version of NumPy.

    Sorts by SplitMix64 of the number (Steele, Lea and Flood, 2014), which NumPy's own generators
    do not promise to keep from version to version.

    >>> shuffled(5, 0, "epoch 1")
    array([1, 0, 4, 3, 2])
    """
    start = int.from_bytes(sha256(repr(key).encode()).digest()[:8])
    mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64(start)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")
