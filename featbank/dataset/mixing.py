"""Several datasets as one, mixed by weights or by a temperature."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence, Sized
from fractions import Fraction
from hashlib import shake_128
from itertools import accumulate
from operator import index as whole
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from featbank.dataset.permutation import Permutation
from featbank.dataset.resumable import ResumableSampler
from featbank.dataset.shares import checked_weights, tempered, whole_shares
from featbank.dataset.turns import Turns
from featbank.errors import ConfigError
from featbank.provenance import digest

_BLOCK = 64
"""Picks that are drawn together: what a resumed run computes before its first one."""

_WIDTHS = (64, 64, 32, 32, 16, 16, 8, 8, 4, 4, 2)
_MAX_AHEAD = 2
"""Picks that a source may be ahead of its share, or behind it."""


class Mixture(Dataset[Any]):
    """Several datasets one after the other, each of which has a name."""

    def __init__(self, sources: Mapping[str, Dataset[Any]], *, name_as: str | None = None) -> None:
        """Put datasets one after the other.

        Args:
            sources: map-style datasets by name, none of them empty.
            name_as: the key under which an item tells the name of its source. An item that is no
                dict becomes one, itself under `item`. None gives the items as the sources do.

        Raises:
            ConfigError: no source, or one without items or without a length.
        """
        if not sources:
            raise ConfigError("sources of a mixture", expected="one or more", got="none")
        for name, source in sources.items():
            if not isinstance(source, Sized) or not len(source):
                raise ConfigError(
                    f"source {name!r} of a mixture",
                    expected="a dataset with items",
                    got="none" if isinstance(source, Sized) else f"{source!r} without a length",
                )
        self.sources = dict(sources)
        self.sizes = {name: len(source) for name, source in sources.items()}  # type: ignore[arg-type]
        self._name_as = name_as
        self._names = list(sources)
        self._before = [0, *accumulate(self.sizes.values())]

    def __len__(self) -> int:
        """Return the number of items of all sources."""
        return self._before[-1]

    def __getitem__(self, index: int) -> Any:
        """Return an item of a source."""
        name, place = self.locate(index)
        item = self.sources[name][place]
        if self._name_as is None:
            return item
        return {**(item if isinstance(item, Mapping) else {"item": item}), self._name_as: name}

    def locate(self, index: int) -> tuple[str, int]:
        """Return the source of an item, and its index there."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index within {len(self)} items, got {index}")
        place = whole(index) % len(self)
        number = bisect_right(self._before, place) - 1
        return self._names[number], place - self._before[number]

    def num_tokens(self) -> dict[str, int]:
        """Return the tokens, or frames, of all items of each source.

        Raises:
            ConfigError: a source has no `num_tokens`, `window_length` or `lengths` to tell.
        """
        return {name: _num_tokens(name, source) for name, source in self.sources.items()}


class MixtureSampler(ResumableSampler[int]):
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
        by: Literal["picks", "tokens"] = "picks",
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
            rank: of this process; of `torch.distributed` by default.
            num_ranks: that share the picks.

        Raises:
            ConfigError: both weights and a temperature, a weight or a temperature that is not over
                0, names that are not those of the sources, or numbers that do not fit.
        """
        super().__init__(
            shuffle=shuffle, seed=seed, drop_last=drop_last, rank=rank, num_ranks=num_ranks
        )
        if num_picks is not None and whole(num_picks) < 1:
            raise ConfigError("num_picks of a mixture", expected="1 or more", got=num_picks)
        self._mixture = mixture
        self._picks = len(mixture) if num_picks is None else whole(num_picks)
        whole_numbers = _shares(mixture, weights, temperature, by, num_tokens)
        self._turns = Turns([*whole_numbers.values()])
        self.shares = {name: share / self._turns.total for name, share in whole_numbers.items()}
        """Of the picks, by the name of the source."""

    def _num_picks(self) -> int:
        return self._picks

    def _order(self) -> Sequence[int]:
        return _MixedEpoch(
            self._turns,
            self._mixture.sizes,
            range(self.epoch * self._picks, (self.epoch + 1) * self._picks),
            self.seed if self.shuffle else None,
        )

    def _made_from(self) -> str:
        return digest(
            [
                [
                    [name, self._mixture.sizes[name], _identity(source)]
                    for name, source in self._mixture.sources.items()
                ],
                self._turns.shares,
                self._picks,
            ]
        )


class _MixedEpoch(Sequence[int]):
    """The picks of an epoch, as indices of the mixture; memory holds a block of them."""

    def __init__(
        self, turns: Turns, sizes: Mapping[str, int], picks: range, seed: int | None
    ) -> None:
        """Prepare.

        Args:
            turns: of the sources.
            sizes: of the sources, by name.
            picks: of this epoch, in all picks that there ever are.
            seed: None for even turns and items in order.
        """
        self._turns = turns
        self._names = list(sizes)
        self._sizes = list(sizes.values())
        self._before = [0, *accumulate(self._sizes)]
        self._picks = picks
        self._seed = seed
        self._counts_at_start = turns.counts(picks.start)
        self._block = -1
        self._drawn: list[tuple[int, int]] = []  # source, and which of its picks it is
        self._rounds: dict[int, tuple[int, Sequence[int]]] = {}

    def __len__(self) -> int:
        return len(self._picks)

    def __getitem__(self, place: int) -> int:  # type: ignore[override]
        block, place_in_block = divmod(range(len(self))[place], _BLOCK)
        if block != self._block:
            self._drawn, self._block = self._draw(block), block
        source, number = self._drawn[place_in_block]
        round_, place_in_round = divmod(number, self._sizes[source])
        if self._rounds.get(source, (-1,))[0] != round_:
            self._rounds[source] = round_, self._items(source, round_)
        return self._before[source] + self._rounds[source][1][place_in_round]

    def _items(self, source: int, round_: int) -> Sequence[int]:
        size = self._sizes[source]
        if self._seed is None:
            return range(size)
        return Permutation(size, "items", self._seed, self._names[source], round_)

    def _draw(self, block: int) -> list[tuple[int, int]]:
        picks = self._picks[block * _BLOCK : (block + 1) * _BLOCK]
        counts = self._turns.counts(picks.start)
        turns = self._turns.between(picks.start, picks.stop)
        if self._seed is not None:
            turns = self._shuffled(np.array(turns), picks.start, counts)
        drawn = []
        for source in turns:
            drawn.append((source, counts[source]))
            counts[source] += 1
        return drawn

    def _shuffled(
        self, turns: npt.NDArray[np.int64], first: int, counts: Sequence[int]
    ) -> list[int]:
        """Return the turns of a block in another order, in which no source is off too far."""
        total, shares = self._turns.total, self._turns.shares
        # how far each source is ahead before the block, in parts of a pick, counted from the first
        # of all picks and from the first of the epoch: whole numbers below 2 ** 56
        places = np.arange(1, len(turns) + 1)
        ahead = np.array(
            [
                [
                    (count - count_then) * total - (first - then) * share
                    for count, count_then, share in zip(counts, counts_then, shares, strict=True)
                ]
                for then, counts_then in (
                    (0, [0] * len(shares)),
                    (self._picks.start, self._counts_at_start),
                )
            ]
        )
        ahead = ahead[:, :, None] - places * np.array(shares)[:, None]
        drawn = shake_128(repr(("turns", self._seed, first)).encode()).digest(
            4 * len(turns) * len(_WIDTHS)
        )
        noise = np.frombuffer(drawn, "<u4").reshape(len(_WIDTHS), -1).astype(np.int64)
        for width, line in zip(_WIDTHS, noise, strict=True):
            # each moves on by less than `width` places, as far as it is drawn
            order = np.argsort((places << 32) + width * line, kind="stable")
            candidate = turns[order]
            given = np.cumsum(candidate == np.arange(len(shares))[:, None], axis=1)
            if np.abs(ahead + given * total).max() < _MAX_AHEAD * total:
                return [*map(int, candidate)]
        return [*map(int, turns)]


def _shares(
    mixture: Mixture,
    weights: Mapping[str, float] | None,
    temperature: float | None,
    by: str,
    num_tokens: Mapping[str, int] | None,
) -> dict[str, int]:
    """Return the share of each source in the picks, as whole numbers."""
    if weights is not None and temperature is not None:
        raise ConfigError("weights and temperature", expected="one of them", got="both")
    if by not in ("picks", "tokens"):
        raise ConfigError("by of a mixture", expected="'picks' or 'tokens'", got=repr(by))
    if num_tokens is not None and by != "tokens":
        raise ConfigError("by of a mixture", expected="'tokens' beside num_tokens", got=repr(by))
    items = mixture.sizes
    sizes = items
    if by == "tokens":
        sizes = mixture.num_tokens() if num_tokens is None else _by_source(num_tokens, mixture)
        for name, size in sizes.items():
            if size < 1:
                raise ConfigError(f"num_tokens of {name!r}", expected="1 or more", got=size)
    if weights is None:
        wanted = tempered(sizes, 1 if temperature is None else temperature)
    else:
        wanted = checked_weights(_by_source(weights, mixture))
    if by == "tokens":  # a share of tokens by the mean tokens of a pick is one of picks
        wanted = {
            name: weight * Fraction(items[name], sizes[name]) for name, weight in wanted.items()
        }
    return whole_shares(wanted)


def _by_source(numbers: Mapping[str, Any], mixture: Mixture) -> dict[str, Any]:
    """Return numbers in the order of the sources."""
    if set(numbers) != set(mixture.sizes):
        raise ConfigError(
            "weights or num_tokens of a mixture",
            expected=f"one for each of {', '.join(mixture.sizes)}",
            got=", ".join(map(str, numbers)) or "none",
        )
    return {name: numbers[name] for name in mixture.sizes}


def _num_tokens(name: str, source: Any) -> int:
    if hasattr(source, "num_tokens"):
        return int(source.num_tokens)
    if hasattr(source, "window_length"):
        return int(source.window_length) * len(source)
    if hasattr(source, "lengths"):
        return int(source.lengths().sum())
    raise ConfigError(
        f"tokens of source {name!r}",
        expected="a dataset with num_tokens, window_length or lengths",
        got=type(source).__name__,
        hint="give the sampler num_tokens, those of all items of each source",
    )


def _identity(source: Any) -> str:
    """Return what a state is held against: the digest that datasets of this package have."""
    found = getattr(source, "identity", None) or getattr(source, "ids_digest", None)
    return str(found() if callable(found) else found or type(source).__name__)
