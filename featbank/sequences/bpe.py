"""Byte-pair encoding of units: frequent sequences of units become one token.

Acoustic BPE (Shen et al., 2023, arXiv:2310.14580) shortens what a language model reads, best on
units without repeats. The tokenizers library (the extra `bpe`) learns and applies the merges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from featbank.base.tensors import as_array, takes_tensors
from featbank.base.units import Units, check_integers
from featbank.errors import ConfigError, FeatbankError
from featbank.files.opening import read_regular
from featbank.files.provenance import write_atomic
from featbank.sequences.checks import check_range

if TYPE_CHECKING:
    import tokenizers

_FIRST = 0x10000
"""Unit 0 as a character: from here on every number is one, without a gap."""
_MAX_UNITS = 0x110000 - _FIRST
_MAX_BYTES = 256 << 20


class UnitBpe:
    """Encodes units as fewer tokens, and decodes them without loss.

    Token n below `num_units` is unit n alone; the others are merges, in the order learned.

    >>> bpe = UnitBpe.train([np.array([0, 1, 2, 0, 1])], num_units=3, vocab_size=4)
    >>> bpe.encode(np.array([2, 0, 1, 2, 2]))
    array([2, 3, 2, 2])
    >>> bpe.decode(np.array([2, 3, 2, 2]))
    array([2, 0, 1, 2, 2])
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        """Take a tokenizer that `train` or `load` made."""
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self._units = [_units(token) for token in sorted(vocabulary, key=vocabulary.__getitem__)]
        self.num_units = sum(len(units) == 1 for units in self._units)
        alone = [units.tolist() for units in self._units[: self.num_units]]
        no_gap = sorted(vocabulary.values()) == list(range(self.vocab_size))
        if not alone or alone != [[unit] for unit in range(self.num_units)] or not no_gap:
            raise FeatbankError(
                "byte-pair encoding of units",
                expected="the units alone as the first tokens",
                got="a tokenizer of something else",
            )

    @classmethod
    def train(
        cls,
        sequences: Iterable[Units],
        *,
        num_units: int,
        vocab_size: int,
        min_frequency: int = 2,
        max_token_length: int | None = None,
    ) -> UnitBpe:
        """Learn merges; none crosses the end of a sequence.

        Args:
            sequences: (T,) integers, an utterance each, read once; tensors, too.
            num_units: of the codebook, K.
            vocab_size: tokens, the units among them; there may be fewer when nothing is frequent.
            min_frequency: of a pair that is merged.
            max_token_length: units of a token at most, 2 or more; None for any.

        Raises:
            ConfigError: the extra `bpe` is not installed.
            FeatbankError: a unit is not below `num_units`, the vocabulary is smaller than that, or
                tokens are to be no longer than a unit.
        """
        library = _library()
        if not 1 <= num_units <= min(vocab_size, _MAX_UNITS):
            raise FeatbankError(
                "num_units",
                expected=f"1 to the vocabulary's size, {vocab_size}, and {_MAX_UNITS} at most",
                got=num_units,
            )
        if max_token_length is not None and max_token_length < 2:
            raise FeatbankError(
                "max_token_length", expected="2 or more: a merge joins two", got=max_token_length
            )
        tokenizer = library.Tokenizer(library.models.BPE())
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            # the library's tokens stay below it, but for those of two units, which it always makes
            max_token_length=None if max_token_length is None else max_token_length + 1,
            initial_alphabet=[chr(_FIRST + unit) for unit in range(num_units)],
            show_progress=False,
        )
        tokenizer.train_from_iterator(_texts(sequences, num_units), trainer)
        return cls(tokenizer)

    @classmethod
    def load(cls, path: str | Path) -> UnitBpe:
        """Read what `save` wrote.

        Raises:
            ConfigError: the extra `bpe` is not installed.
            FeatbankError: it is missing, damaged, or a tokenizer of something else.
        """
        library = _library()
        where = f"byte-pair encoding {path}"
        try:
            text = read_regular(path, _MAX_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise FeatbankError(where, expected="a file of UnitBpe.save", got=error) from error
        try:
            tokenizer = library.Tokenizer.from_str(text)
        except Exception as error:  # the library has no narrower class
            raise FeatbankError(where, expected="a file of UnitBpe.save", got=error) from error
        return cls(tokenizer)

    def save(self, path: str | Path) -> None:
        """Write it as the JSON of the tokenizers library, atomically."""
        write_atomic(path, self._tokenizer.to_str().encode())

    @property
    def vocab_size(self) -> int:
        """Number of different tokens."""
        return len(self._units)

    @takes_tensors
    def encode(self, units: Units) -> Units:
        """Return the tokens (N,) of units (T,), int64.

        Raises:
            FeatbankError: a unit is not below `num_units`.
        """
        return np.array(self._tokenizer.encode(_text(units, self.num_units)).ids, np.int64)

    @takes_tensors
    def decode(self, tokens: Units) -> Units:
        """Return the units (T,) of tokens (N,), int64.

        Raises:
            FeatbankError: a token is not below `vocab_size`.
        """
        _check(tokens, self.vocab_size, "tokens")
        return np.concatenate([np.empty(0, np.int64), *(self._units[token] for token in tokens)])

    @takes_tensors
    def durations(self, tokens: Units) -> Units:
        """Return how many units each token (N,) stands for, (N,) int64.

        Raises:
            FeatbankError: a token is not below `vocab_size`.
        """
        _check(tokens, self.vocab_size, "tokens")
        return np.array([len(self._units[token]) for token in tokens], np.int64)


def _library() -> ModuleType:
    try:
        # imported here: the other sequences do without it
        import tokenizers
    except ImportError as error:
        raise ConfigError.of_absent("byte-pair encoding", "tokenizers", "bpe", error) from error
    return tokenizers


def _texts(sequences: Iterable[Units], num_units: int) -> Iterator[str]:
    for units in sequences:
        yield _text(as_array(units), num_units)


def _text(units: Units, num_units: int) -> str:
    _check(units, num_units, "units")
    return (units.astype("<u4") + _FIRST).astype("<u4").tobytes().decode("utf-32-le")


def _units(text: str) -> Units:
    return np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int64) - _FIRST


def _check(values: Units, size: int, what: str) -> None:
    check_integers(what, values, ndim=1)
    check_range(what, values, size)
