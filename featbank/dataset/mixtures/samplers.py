"""Samplers of items, or of batches, of a mixture: each source has its share at every prefix."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from operator import index as whole
from typing import TypeVar

from featbank.dataset.bucketing import BucketBatchSampler
from featbank.dataset.mixtures.mixture import Mixture
from featbank.dataset.mixtures.order import MixedOrder
from featbank.dataset.mixtures.shares import By, shares_of_picks
from featbank.dataset.mixtures.turns import Turns
from featbank.dataset.permutation import Permutation
from featbank.dataset.resumable import ResumableSampler
from featbank.errors import ConfigError
from featbank.files.provenance import digest

Pick = TypeVar("Pick")


class _Mixing(ResumableSampler[Pick], ABC):
    """What orders of items and of batches have in common."""

    def __init__(
        self,
        mixture: Mixture,
        sizes: Mapping[str, int],
        *,
        weights: Mapping[str, float] | None,
        temperature: float | None,
        by: By,
        num_tokens: Mapping[str, int] | None,
        num_picks: int | None,
        shuffle: bool,
        seed: int,
        drop_last: bool,
        rank: int | None,
        num_ranks: int | None,
    ) -> None:
        super().__init__(
            shuffle=shuffle, seed=seed, drop_last=drop_last, rank=rank, num_ranks=num_ranks
        )
        if num_picks is not None and whole(num_picks) < 1:
            raise ConfigError("num_picks of a mixture", expected="1 or more", got=num_picks)
        self._mixture = mixture
        self._sizes = dict(sizes)
        self._picks = sum(sizes.values()) if num_picks is None else whole(num_picks)
        shares = shares_of_picks(
            self._sizes,
            weights=weights,
            temperature=temperature,
            by=by,
            num_tokens=num_tokens,
            count_tokens=mixture.num_tokens,
        )
        self._turns = Turns([*shares.values()])
        self.shares = {name: share / self._turns.total for name, share in shares.items()}
        """Of the picks, by the name of the source."""

    @abstractmethod
    def _round(self, source: int, number: int) -> Sequence[Pick]:
        """Return what a source gives in a round, in its order."""

    def _num_picks(self) -> int:
        return self._picks

    def _order(self) -> Sequence[Pick]:
        return MixedOrder(
            self._turns,
            [*self._sizes.values()],
            range(self.epoch * self._picks, (self.epoch + 1) * self._picks),
            self.seed if self.shuffle else None,
            self._round,
        )

    def _made_from(self) -> str:
        return digest([self._mixture.made_from(), self._turns.shares, self._picks])


class MixtureSampler(_Mixing[int]):
    """The order of a mixture: the `sampler` of a `DataLoader` over a `Mixture`.

    All epochs are one endless order, in which each source comes by its share at every prefix, give
    or take less than 2 picks (see `Turns`): an epoch is its next `num_picks`. Whose turn it is, is
    shuffled in blocks of 64 picks, as far as that law allows, so that no rank gets one source only.
    A source gives all its items once, in an order drawn anew, before it gives one again, through
    epochs, too. Nothing but the block is in memory, and any place is reached at once.

    The law holds for the picks of all ranks together, and from the first epoch on; counted from the
    start of a later one, a source may rarely be off by some tenths more.
    """

    def __init__(
        self,
        mixture: Mixture,
        *,
        weights: Mapping[str, float] | None = None,
        temperature: float | None = None,
        by: By = "picks",
        num_tokens: Mapping[str, int] | None = None,
        num_picks: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        num_ranks: int | None = None,
    ) -> None:
        """Prepare to sample.

        Args:
            mixture: to be sampled.
            weights: of each source, over 0; their sum may be any.
            temperature: instead of weights, n ** (1 / temperature) for a source of n items, or
                tokens: see `tempered`. The default, 1, is each source by its size.
            by: what the weights are shares of: `picks`, or `tokens`. A pick has the mean number of
                tokens of its source then, and a source of long items is picked less often.
            num_tokens: of all items of each source, for `by="tokens"`; by default what
                `mixture.num_tokens` finds.
            num_picks: of an epoch, of all ranks; by default as many as there are items.
            shuffle: draw turns and items anew; without, sources take even turns and go through
                their items in order.
            seed: of the drawing.
            drop_last: rather leave the last picks out than give some of them to two ranks.
            rank: of this process, where it is not the one of `torch.distributed`.
            num_ranks: that share the picks.

        Raises:
            ConfigError: both weights and a temperature, a weight or a temperature that is not over
                0, names that are not those of the sources, or numbers that do not fit.
        """
        super().__init__(
            mixture,
            _sizes(mixture),
            weights=weights,
            temperature=temperature,
            by=by,
            num_tokens=num_tokens,
            num_picks=num_picks,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            rank=rank,
            num_ranks=num_ranks,
        )

    def _round(self, source: int, number: int) -> Sequence[int]:
        start, stop = self._mixture.starts[source : source + 2]
        if not self.shuffle:
            return range(start, stop)
        name = list(self._sizes)[source]
        return _Shifted(Permutation(stop - start, "items", self.seed, name, number), start)


def _sizes(mixture: Mixture) -> dict[str, int]:
    """Return the items of each source; refuse what is no `Mixture`, such as a dict of datasets."""
    if not isinstance(mixture, Mixture):
        raise ConfigError(
            "mixture to be sampled",
            expected="a Mixture",
            got=type(mixture).__name__,
            hint="Mixture({'name': dataset, ...})",
        )
    return mixture.sizes


class _Shifted(Sequence[int]):
    """Numbers, each more by as much."""

    def __init__(self, numbers: Sequence[int], by: int) -> None:
        self._numbers = numbers
        self._by = by

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> int:  # type: ignore[override]
        return self._numbers[place] + self._by


class MixtureBatchSampler(_Mixing[list[int]]):
    """Batches of a mixture, each of one source: the `batch_sampler` of a `DataLoader` over it.

    Batches are those of a sampler a source, such as `BucketBatchSampler`; what is said of the items
    of `MixtureSampler` holds for them. A round of a source is an epoch of its sampler, whose order
    is made when the round begins, or is gone on with.
    """

    def __init__(
        self,
        mixture: Mixture,
        samplers: Mapping[str, BucketBatchSampler],
        *,
        weights: Mapping[str, float] | None = None,
        temperature: float | None = None,
        by: By = "picks",
        num_tokens: Mapping[str, int] | None = None,
        num_picks: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        num_ranks: int | None = None,
    ) -> None:
        """Prepare to sample.

        Args:
            mixture: to be sampled.
            samplers: by the name of the source, `BucketBatchSampler(source, ...)`, with a seed of
                its own; its rank does not matter.
            weights: as of `MixtureSampler`, of batches.
            temperature: as of `MixtureSampler`, n being batches, or tokens.
            by: as of `MixtureSampler`: `picks`, which are batches, or `tokens`.
            num_tokens: of all items of each source.
            num_picks: batches of an epoch, of all ranks; by default as many as there are.
            shuffle: draw turns anew; without, sources take even turns.
            seed: of the turns.
            drop_last: rather leave the last batches out than give some of them to two ranks.
            rank: of this process, where it is not the one of `torch.distributed`.
            num_ranks: that share the batches.

        Raises:
            ConfigError: as of `MixtureSampler`; or there is not one sampler a source, of its items.
        """
        sizes = _sizes(mixture)
        if not isinstance(samplers, Mapping) or {*samplers} != {*sizes}:
            raise ConfigError(
                "samplers of a mixture",
                expected=f"one for each of {', '.join(sizes)}",
                got=", ".join(map(str, samplers)) or "none",
            )
        self._samplers = {name: samplers[name] for name in sizes}
        for name, sampler in self._samplers.items():
            if not isinstance(sampler, BucketBatchSampler):
                raise ConfigError(
                    f"sampler of {name!r} in a mixture",
                    expected="a BucketBatchSampler",
                    got=type(sampler).__name__,
                )
            if sampler.num_utterances != sizes[name]:
                raise ConfigError(
                    f"sampler of {name!r} in a mixture",
                    expected=f"one of its {sizes[name]} utterances",
                    got=f"one of {sampler.num_utterances}",
                )
            if not sampler._num_picks():
                raise ConfigError(
                    f"sampler of {name!r} in a mixture", expected="one or more batches", got="none"
                )
        super().__init__(
            mixture,
            {name: sampler._num_picks() for name, sampler in self._samplers.items()},
            weights=weights,
            temperature=temperature,
            by=by,
            num_tokens=num_tokens,
            num_picks=num_picks,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            rank=rank,
            num_ranks=num_ranks,
        )

    def _round(self, source: int, number: int) -> Sequence[list[int]]:
        sampler = copy.copy([*self._samplers.values()][source])
        sampler.epoch = number  # of the copy: the sampler may be read by itself, too
        return _ShiftedBatches(sampler._order(), self._mixture.starts[source])

    def _made_from(self) -> str:
        made_from = [sampler._identified() for sampler in self._samplers.values()]
        return digest([super()._made_from(), made_from])


class _ShiftedBatches(Sequence[list[int]]):
    """Batches of indices, each more by as much."""

    def __init__(self, batches: Sequence[list[int]], by: int) -> None:
        self._batches = batches
        self._by = by

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, place: int) -> list[int]:  # type: ignore[override]
        return [number + self._by for number in self._batches[place]]
