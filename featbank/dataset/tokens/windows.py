"""Tokens of a store as one stream, cut into windows for language models."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from featbank.base.units import Units
from featbank.dataset.splits import open_tokens
from featbank.dataset.tokens.encoded import EncodedTokens
from featbank.dataset.tokens.numbers import (
    Asked,
    TokenNumbers,
    own_numbers,
    stands_beside,
    vocabulary_numbers,
)
from featbank.dataset.tokens.patterns import CodePattern, Delayed, Flattened, find_pattern
from featbank.dataset.tokens.stream import TokenStream, UtteranceSpan
from featbank.errors import ConfigError, StoreError
from featbank.files.provenance import digest
from featbank.sequences import Vocabulary
from featbank.store import Store


class TokenWindows(Dataset[torch.Tensor]):
    """The utterances of a token store one after the other, a separator behind each, in windows.

    An item is an int64 tensor: (window_length,), or (Q, window_length) for codes whose pattern has
    columns. The last window is filled up, so that every token is in a window. Nothing is copied or
    indexed beforehand: where a window lies follows from the headers, and the shards say where in it
    an utterance ends. `PackedWindows` tells documents, positions and what is a target.

    Slices give several windows at once, (n, ..., window_length).
    """

    def __init__(
        self,
        store: Store | str | Path | EncodedTokens,
        window_length: int,
        *,
        split: str | Sequence[str] | None = None,
        pattern: CodePattern | str | None = None,
        vocabulary: Vocabulary | None = None,
        codebook_size: int | None = None,
        separator: int | str | None = None,
        begin: int | str | None = None,
        padding: int | str | None = None,
        overlap: int = 0,
    ) -> None:
        """Cut a store into windows.

        Numbers that stand beside the tokens are no tokens. In a vocabulary they are names of its
        special tokens, or ids of its text, such as that of a text model's end of sequence.

        Args:
            store: of units (T,) or codes (Q, T), by its path or open, or units that are encoded.
            window_length: steps of a window.
            split: of a folder of splits, its name, or those of several that are read as one.
            pattern: `Flattened()`, `Delayed()` or `Parallel()`, or its name; codes need one.
            vocabulary: whose ids the windows hold, instead of the numbers that the store has.
            codebook_size: tokens are below it, for a store that does not state it.
            separator: stands behind each utterance; by default the codebook's size, the first
                number that is no token, or that of the vocabulary.
            begin: stands before each utterance; None for nothing.
            padding: fills up the last window; the separator by default.
            overlap: steps that a window shares with the one before: 1 when it holds the inputs
                and, one further, the targets of a language model.

        Raises:
            ConfigError: the numbers do not fit, one that stands beside tokens is one, or several
                splits stand there and none is named.
            StoreError: the store is damaged, or does not hold integers.
        """
        tokens: Store | EncodedTokens
        if isinstance(store, EncodedTokens):
            self.store, tokens, stated = store.store, store, store.codebook_size
            if split is not None:
                raise ConfigError("split", expected="none: tokens are encoded", got=split)
        else:
            self.store = open_tokens(store, split)
            tokens, stated = self.store, self.store.header.codebook_size
        self.window_length = _integer("window_length", window_length, 1)
        self.overlap = _integer("overlap of windows", overlap, 0)
        if self.overlap >= self.window_length:
            raise ConfigError(
                "overlap of windows", expected=f"below {self.window_length}", got=self.overlap
            )
        self._step = self.window_length - self.overlap
        self.pattern = self._find_pattern(pattern)
        self.numbers, limits = self._choose_numbers(
            Asked(
                separator=separator,
                begin=begin,
                padding=padding,
                pads=isinstance(self.pattern, Delayed),
                pad=self.pattern.pad if isinstance(self.pattern, Delayed) else None,
            ),
            stated,
            codebook_size,
            vocabulary,
        )
        self.stream = TokenStream(tokens, self.store, self.pattern, self.numbers, limits)
        rows = self.stream.num_rows
        self.shape = (self.window_length,) if rows is None else (rows, self.window_length)
        """Of a window."""

    @property
    def separator(self) -> int:
        """Number that stands behind each utterance."""
        return self.numbers.separator

    @property
    def vocab_size(self) -> int:
        """Rows of an embedding for what windows hold; that of the vocabulary where there is one."""
        return self.numbers.size

    def __len__(self) -> int:
        """Return the number of windows."""
        total = self.stream.num_steps
        return max(1, -(-(total - self.overlap) // self._step)) if total else 0

    def __getitem__(self, index: int | slice) -> torch.Tensor:
        """Return a window, (window_length,) or (Q, window_length) int64; several of a slice."""
        if isinstance(index, slice):
            chosen = range(len(self))[index]
            return torch.from_numpy(
                np.stack([self._read(one) for one in chosen])
                if chosen
                else np.empty((0, *self.shape), np.int64)
            )
        return torch.from_numpy(self._read(self.place(index)))

    def place(self, index: int) -> int:
        """Return the index of a window, counted from the first.

        Raises:
            IndexError: there is no such window.
            TypeError: the index is no integer.
        """
        try:
            number = operator.index(index)
        except TypeError as error:
            raise TypeError(
                f"index of a window: expected an integer or a slice, got {index!r}; "
                f"windows.store[id] reads an utterance, windows.containing(id) tells its windows"
            ) from error
        if not -len(self) <= number < len(self):
            raise IndexError(f"expected an index within {len(self)} windows, got {number}")
        return number % len(self)

    def containing(self, utterance_id: str) -> range:
        """Return the windows that hold something of an utterance, or its separator.

        Raises:
            StoreError: an id that is not there.
        """
        start, stop = self.stream.locate(self.store.row_number(utterance_id))
        first = max(0, -(-(start + 1 - self.window_length) // self._step))
        return range(first, min(-(-stop // self._step), len(self)))

    def parts(self, number: int) -> Iterator[UtteranceSpan]:
        """Yield the steps of each utterance that lie in a window."""
        start = number * self._step
        return self.stream.parts(start, start + self.window_length)

    @property
    def windows_before(self) -> list[int]:
        """Number of windows that begin before each shard, then the total: (num_shards + 1,)."""
        return [min(-(-start // self._step), len(self)) for start in self.stream.before]

    @property
    def num_tokens(self) -> int:
        """Number of tokens of all utterances and special ones: each once, whatever overlaps."""
        return self.stream.num_steps * (self.stream.num_rows or 1)

    def made_from(self) -> str:
        """Return a digest of all that the windows follow from."""
        shards = [shard.digest for shard in self.stream.tokens.shards]
        numbers = self.numbers
        offsets = None if numbers.offsets is None else numbers.offsets.tolist()
        beside = [numbers.separator, numbers.begin, numbers.pad, numbers.padding]
        sizes = [self.window_length, self.overlap]
        # the pad stands among the numbers, by whatever name it was asked for
        pattern = self.pattern
        if isinstance(pattern, Delayed):
            pattern = replace(pattern, pad=None)
        return digest([shards, sizes, repr(pattern), offsets, beside])

    def _read(self, index: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        window = np.full(self.shape, self.numbers.separator, np.int64)
        done = self.stream.fill(window, index * self._step)
        if done < self.window_length:
            window[..., done:] = self.numbers.padding
        return window

    def _find_pattern(self, pattern: CodePattern | str | None) -> CodePattern | None:
        store, shape = self.store, self.store.header.shape
        if store.dtype.kind not in "iu" or len(shape) > 1 or store.header.time_axis is None:
            raise StoreError(
                f"store {store.storage_path}",
                expected="integers: one a frame, or one a codebook",
                got=f"frames of shape {shape}, {store.header.dtype}",
            )
        if not shape and pattern is not None:
            raise ConfigError(
                "pattern of codes",
                expected="none, for there is one token a frame",
                got=repr(pattern),
            )
        if not shape:
            return None
        if pattern is None:
            raise ConfigError(
                f"pattern of the codes of {store.storage_path}",
                expected="flattened, delayed or parallel",
                got=f"none, and there are {shape[0]} codes a frame",
                hint='say pattern="delayed", or pattern=Flattened(distinct=True)',
            )
        return find_pattern(pattern)

    def _choose_numbers(
        self,
        asked: Asked,
        stated: int | None,
        codebook_size: int | None,
        vocabulary: Vocabulary | None,
    ) -> tuple[TokenNumbers, Units | None]:
        """Return the numbers, and what codes have to be held against, as no header vouches."""
        if codebook_size is not None:
            codebook_size = _integer("codebook_size", codebook_size, 1)
        if None not in (stated, codebook_size) and stated != codebook_size:
            raise ConfigError(
                "codebook_size", expected=f"{stated}, as the store states", got=codebook_size
            )
        num_codebooks = self.store.header.shape[0] if self.store.header.shape else None
        size = stated if codebook_size is None else codebook_size
        if vocabulary is not None:
            numbers = vocabulary_numbers(asked, num_codebooks, size, vocabulary)
            return numbers, np.array(vocabulary.codebook_sizes) if stated is None else None
        distinct = isinstance(self.pattern, Flattened) and self.pattern.distinct
        if size is None and not distinct and asked.separator is not None:
            # nobody says what the tokens are: whatever is below the separator
            size = stands_beside("separator", asked.separator, None)
        if size is None:
            raise ConfigError(
                "separator",
                expected="a number",
                got="none, and the store states no codebook_size",
                hint="state the codebook_size",
            )
        numbers = own_numbers(asked, num_codebooks, size, distinct=distinct)
        return numbers, np.array([size]) if stated is None else None


def _integer(name: str, number: object, least: int) -> int:
    """Return a number as a plain integer; refuse one below `least`, and what is no integer."""
    try:
        found = operator.index(number)  # type: ignore[arg-type]
    except TypeError:
        found = None
    if found is None or found < least or isinstance(number, bool | np.bool_):
        raise ConfigError(name, expected=f"an integer of {least} or more", got=repr(number))
    return found
