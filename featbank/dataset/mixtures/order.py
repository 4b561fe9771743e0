"""Order of an epoch of a mixture: the source of each pick, and its item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import shake_128
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from featbank.dataset.mixtures.turns import Turns

Pick = TypeVar("Pick")

_BLOCK = 64
"""Picks that are drawn together: what a resumed run computes before its first one."""

_WIDTHS = (64, 64, 32, 32, 16, 16, 8, 8, 4, 4, 2)
_MAX_AHEAD = 2
"""Picks that a source may be ahead of its share, or behind it."""


class MixedOrder(Sequence[Pick], Generic[Pick]):
    """The picks of an epoch of a mixture, worked out block by block."""

    def __init__(
        self,
        turns: Turns,
        sizes: Sequence[int],
        picks: range,
        seed: int | None,
        read: Callable[[int, int], Sequence[Pick]],
    ) -> None:
        """Prepare.

        Args:
            turns: of the sources.
            sizes: what each source has to give in a round.
            picks: of this epoch, in all picks that there ever are.
            seed: of the turns; None for even ones.
            read: gives the order of a source, of the size that it has, in a round.
        """
        self._turns = turns
        self._sizes = list(sizes)
        self._picks = picks
        self._seed = seed
        self._read = read
        self._counts_at_start = turns.counts(picks.start)
        self._block = -1
        self._drawn: list[tuple[int, int]] = []  # source, and which of its picks it is
        self._rounds: dict[int, tuple[int, Sequence[Pick]]] = {}

    def __len__(self) -> int:
        return len(self._picks)

    def __getitem__(self, place: int) -> Pick:  # type: ignore[override]
        block, place_in_block = divmod(range(len(self))[place], _BLOCK)
        if block != self._block:
            self._drawn, self._block = self._draw(block), block
        source, number = self._drawn[place_in_block]
        round_, place_in_round = divmod(number, self._sizes[source])
        if self._rounds.get(source, (-1,))[0] != round_:
            self._rounds[source] = round_, self._read(source, round_)
        return self._rounds[source][1][place_in_round]

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
