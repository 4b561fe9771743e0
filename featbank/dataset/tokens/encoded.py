"""Streams of deduplicated or byte-pair encoded units, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from featbank.base.units import Units, check_integers, deduplicate
from featbank.dataset.splits import open_tokens
from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.sequences.checks import check_range
from featbank.store import MappedShard, Store
from featbank.store.encoding import checksum


class UnitEncoder(Protocol):
    """Protocol of an encoder of units, such as a `featbank.sequences.bpe.UnitBpe`."""

    @property
    def num_units(self) -> int:
        """Number of different units: all are below it."""

    @property
    def vocab_size(self) -> int:
        """Number of different tokens: all are below it."""

    def encode(self, units: Units, /) -> Units:
        """Return the tokens (N,) of units (T,)."""


@dataclass(frozen=True, slots=True)
class EncodedShard:
    """The tokens of the utterances of one shard."""

    tokens: Units
    """Of all rows, (num_frames,), in the smallest dtype."""
    frame_starts: npt.NDArray[np.int64]
    """First token of each row, then the total: (num_rows + 1,)."""
    digest: str
    """Of both."""

    @property
    def num_frames(self) -> int:
        """Number of tokens of all rows."""
        return len(self.tokens)

    @property
    def num_utterances(self) -> int:
        """Number of rows."""
        return len(self.frame_starts) - 1

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.num_utterances

    def frames(self, row: int) -> range:
        """Return the tokens of a row, as a range of indices into `tokens`."""
        return range(self.frame_starts.item(row), self.frame_starts.item(row + 1))

    def values(self, frames: range) -> Units:
        """Return consecutive tokens of any rows."""
        return self.tokens[frames.start : frames.stop]


class EncodedTokens:
    """The encoded units of a store, which `TokenWindows` reads like a store.

    How many tokens an utterance becomes is known only once it is encoded, so all are encoded when
    this is made, in one pass, and held in 1, 2 or 4 bytes a token, as the vocabulary asks: a
    thousand hours of units at 50 Hz are 360 MB, if none are merged. Workers of a `DataLoader` share
    that memory, forked or spawned. Several windows may be cut of one.

    >>> EncodedTokens("units/train", UnitBpe.load("bpe.json"), deduplicated=True)  # doctest: +SKIP
    """

    def __init__(
        self,
        store: Store | str | Path,
        encoder: UnitEncoder | None = None,
        *,
        deduplicated: bool = False,
        split: str | Sequence[str] | None = None,
    ) -> None:
        """Encode all utterances of a store.

        Args:
            store: of units (T,).
            encoder: of units; none leaves them units.
            deduplicated: merge runs of equal units first, as GSLM does.
            split: of a folder of splits, its name, or those of several that are read as one.

        Raises:
            ConfigError: neither an encoder nor `deduplicated`, the encoder is of another codebook,
                or there are several splits and none is named.
            StoreError: the store is damaged, or an utterance of it cannot be encoded.
        """
        if encoder is None and not deduplicated:
            raise ConfigError(
                "encoding of units", expected="an encoder, or deduplicated=True", got="neither"
            )
        self.store = open_tokens(store, split)
        header = self.store.header
        if header.shape or self.store.dtype.kind not in "iu":
            raise StoreError(
                f"store {self.store.storage_path}",
                expected="one integer a frame to be encoded",
                got=f"frames of shape {header.shape}, {header.dtype}",
            )
        if encoder is not None and header.codebook_size not in (None, encoder.num_units):
            raise ConfigError(
                "encoder of units",
                expected=f"one of {header.codebook_size} units, as {self.store.storage_path} has",
                got=f"one of {encoder.num_units}",
            )
        self.codebook_size = header.codebook_size if encoder is None else encoder.vocab_size
        """Tokens are below it; None where nobody stated it."""
        dtype = (
            self.store.dtype
            if self.codebook_size is None
            else np.min_scalar_type(self.codebook_size - 1)
        )
        lengths, parts = [np.zeros(1, np.int64)], [np.empty(0, dtype)]
        for number in range(len(header.shards)):
            shard = self.store.open_shard(number)
            rows = [
                tokens.astype(dtype)
                for tokens in _encoded(shard, encoder, deduplicated, self.codebook_size)
            ]
            lengths.append(np.fromiter(map(len, rows), np.int64, len(rows)))
            parts.append(np.concatenate(rows))
        # tensors, for torch hands their memory to spawned workers; one of each, not one a shard
        self._tokens = torch.from_numpy(np.concatenate(parts))
        self._starts = torch.from_numpy(np.cumsum(np.concatenate(lengths)))
        self.shards = self._cut()

    def open_shard(self, number: int) -> EncodedShard:
        """Return the tokens of the utterances of a shard of the store."""
        return self.shards[number]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the views of the tensors."""
        return {name: value for name, value in vars(self).items() if name != "shards"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make them again."""
        self.__dict__.update(state)
        self.shards = self._cut()

    def _cut(self) -> list[EncodedShard]:
        """Return the tokens by shard of the store, as views."""
        tokens, starts = self._tokens.numpy(), self._starts.numpy()
        shards = []
        for first, last in pairwise(self.store.rows_before):
            rows = starts[first : last + 1]
            of_shard, frame_starts = tokens[rows[0] : rows[-1]], rows - rows[0]
            digest = f"{checksum(of_shard):x} {checksum(frame_starts):x}"
            shards.append(EncodedShard(of_shard, frame_starts, digest))
        return shards


def _encoded(
    shard: MappedShard, encoder: UnitEncoder | None, deduplicated: bool, size: int | None
) -> Iterator[Units]:
    """Give the tokens of each row."""
    for row in range(len(shard)):
        units = shard.read(row)
        try:
            if deduplicated:
                units, _ = deduplicate(units)
            if encoder is not None:
                units = encoder.encode(units)
            check_integers("tokens", units, ndim=1)
            if size is not None:
                check_range("tokens", units, size)
        except FeatbankError as error:
            raise StoreError(
                f"utterance {shard.id(row)!r} in {shard.where}",
                expected="units that can be encoded",
                got=error,
            ) from error
        yield units
