"""Units without repeats, or byte-pair encoded, as a stream of tokens in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128_hexdigest

from featbank.dataset.splits import open_stated
from featbank.errors import ConfigError, FeatbankError, StoreError
from featbank.sequences.checks import check_range
from featbank.store import MappedShard, Store
from featbank.units import Units, check_integers, deduplicate


class UnitEncoder(Protocol):
    """What turns units into other tokens, such as a `featbank.sequences.bpe.UnitBpe`."""

    @property
    def num_units(self) -> int:
        """Units are below it."""

    @property
    def vocab_size(self) -> int:
        """Tokens are below it."""

    def encode(self, units: Units, /) -> Units:
        """Return the tokens (N,) of units (T,)."""


@dataclass(frozen=True, slots=True)
class EncodedShard:
    """The tokens of the utterances of one shard."""

    tokens: Units
    """Of all rows, (num_frames,), in the smallest dtype."""
    starts: npt.NDArray[np.int64]
    """First token of each row, then the total: (num_rows + 1,)."""

    @property
    def num_frames(self) -> int:
        """Tokens of all rows."""
        return len(self.tokens)

    @property
    def num_utterances(self) -> int:
        """How many rows there are."""
        return len(self.starts) - 1

    @property
    def digest(self) -> str:
        """Digest of the tokens and of where each row begins."""
        return xxh3_128_hexdigest(self.tokens.tobytes() + self.starts.tobytes())

    @property
    def frame_starts(self) -> npt.NDArray[np.int64]:
        """First token of each row, then the total."""
        return self.starts

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.num_utterances

    def frames(self, row: int) -> range:
        """Return the tokens of a row, as places in `tokens`."""
        return range(int(self.starts[row]), int(self.starts[row + 1]))

    def values(self, frames: range) -> Units:
        """Return consecutive tokens of any rows."""
        return self.tokens[frames.start : frames.stop]


class EncodedTokens:
    """The units of a store under an encoding, which `TokenWindows` reads like a store.

    How many tokens an utterance becomes is known only once it is encoded, so all are encoded when
    this is made, in one pass, and held in 2 bytes a token (4 beyond 65,536): a thousand hours of
    units at 50 Hz are 360 MB before any of them are merged. Forked workers share them; a pickle
    holds them. Several windows may be cut of one.

    >>> from featbank.dataset import TokenWindows  # doctest: +SKIP
    >>> tokens = EncodedTokens("units/train", UnitBpe.load("bpe.json"), deduplicated=True)
    ... # doctest: +SKIP
    >>> windows = TokenWindows(tokens, 1025, overlap=1)  # doctest: +SKIP
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
            split: of a folder of splits, as of `TokenWindows`.

        Raises:
            ConfigError: neither an encoder nor `deduplicated`, the encoder is of another codebook,
                or there are several splits and none is named.
            StoreError: the store is damaged, or an utterance of it cannot be encoded.
        """
        if encoder is None and not deduplicated:
            raise ConfigError(
                "encoding of units", expected="an encoder, or deduplicated=True", got="neither"
            )
        self.store = open_stated(store, split)
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
        self._encoder = encoder
        self._deduplicated = deduplicated
        self.shards: Sequence[EncodedShard] = [
            self._encoded(self.store.open_shard(number)) for number in range(len(header.shards))
        ]
        self._encoder = None  # nothing that a worker needs

    def open_shard(self, number: int) -> EncodedShard:
        """Return the tokens of the utterances of a shard of the store."""
        return self.shards[number]

    def _encoded(self, shard: MappedShard) -> EncodedShard:
        dtype = np.dtype(
            self.store.dtype
            if self.codebook_size is None
            else np.min_scalar_type(self.codebook_size - 1)
        )
        rows = [tokens.astype(dtype) for tokens in self._rows(shard)]
        starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        return EncodedShard(np.concatenate(rows), starts)

    def _rows(self, shard: MappedShard) -> Iterator[Units]:
        for row in range(len(shard)):
            units = np.asarray(shard.read(row))
            try:
                if self._deduplicated:
                    units, _ = deduplicate(units)
                if self._encoder is not None:
                    units = self._encoder.encode(units)
                check_integers("tokens", units, ndim=1)
                if self.codebook_size is not None:
                    check_range("tokens", units, self.codebook_size)
            except FeatbankError as error:
                raise StoreError(
                    f"utterance {shard.id(row)!r} in shard {shard.path}",
                    expected="units that can be encoded",
                    got=error,
                ) from error
            yield units
