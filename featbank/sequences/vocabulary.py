"""One vocabulary for text, special tokens and the units or codes of speech."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from featbank.errors import FeatbankError
from featbank.sequences.checks import check_range
from featbank.units import Units, check_integers

TEXT, SPECIAL, AUDIO = "text", "special", "audio"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The tokens of a speech language model, in this order: text, special tokens, audio.

    Text comes first, so that the ids of a pretrained text model stay what they are.

    Args:
        text_size: tokens of the text tokenizer; 0 for none.
        special: names of further tokens, such as `<audio>`, each once.
        codebook_sizes: of the audio: one for units, one a codebook for codes.
        multiple: the size is rounded up to a multiple of it, as matrix products like; the ids at
            the end mean nothing.

    Raises:
        FeatbankError: a size is out of range, a name stands twice, or `special` is no list of
            names.

    >>> vocabulary = Vocabulary(text_size=1000, special=["<audio>", "<end>"], codebook_sizes=[500])
    >>> vocabulary.special_id("<audio>"), vocabulary.audio_offsets, vocabulary.size
    (1000, (1002,), 1502)
    >>> vocabulary.encode_audio(np.array([0, 499], np.uint16))
    array([1002, 1501])
    >>> vocabulary.kind_of(np.array([5, 1001, 1501])).tolist()
    ['text', 'special', 'audio']
    """

    text_size: int = 0
    special: Sequence[str] = ()
    codebook_sizes: Sequence[int] = field(default_factory=tuple)
    multiple: int = 1

    def __post_init__(self) -> None:
        special = tuple(self.special)
        # a string is a sequence, too: of its letters
        if isinstance(self.special, str) or not all(isinstance(name, str) for name in special):
            raise FeatbankError("special tokens", expected="a list of names", got=self.special)
        if len(set(special)) != len(special):
            raise FeatbankError("special tokens", expected="each once", got=list(special))
        refusal = FeatbankError(
            "sizes of a vocabulary",
            expected="integers: text_size 0 or more, codebook_sizes and multiple 1 or more",
            got=f"{self.text_size!r}, {self.codebook_sizes!r}, {self.multiple!r}",
        )
        try:
            text_size, multiple = operator.index(self.text_size), operator.index(self.multiple)
            codebook_sizes = tuple(map(operator.index, self.codebook_sizes))
        except TypeError as error:
            raise refusal from error
        if text_size < 0 or min(multiple, *codebook_sizes, 1) < 1:
            raise refusal
        # hashable, and nobody changes it
        object.__setattr__(self, "special", special)
        object.__setattr__(self, "codebook_sizes", codebook_sizes)
        # of NumPy's integers, JSON knows none, and narrow ones overflow in sums
        object.__setattr__(self, "text_size", text_size)
        object.__setattr__(self, "multiple", multiple)

    @cached_property
    def audio_offsets(self) -> tuple[int, ...]:
        """The id of code 0 of each codebook."""
        first = self.text_size + len(self.special)
        ends = first + np.cumsum((0, *self.codebook_sizes))
        return tuple(ends[:-1].tolist())

    @property
    def num_tokens(self) -> int:
        """How many ids mean something."""
        return self.text_size + len(self.special) + sum(self.codebook_sizes)

    @property
    def size(self) -> int:
        """Rows of an embedding: `num_tokens`, rounded up to a multiple."""
        return -(-self.num_tokens // self.multiple) * self.multiple

    def special_id(self, name: str) -> int:
        """Return the id of a special token.

        Raises:
            FeatbankError: there is none of that name.
        """
        if name not in self.special:
            raise FeatbankError(
                "special token", expected=" or ".join(self.special) or "none", got=name
            )
        return self.text_size + self.special.index(name)

    def encode_audio(self, codes: Units) -> Units:
        """Return the ids of units (T,), or of codes (Q, T), each codebook with its own, int64.

        Raises:
            FeatbankError: another number of codebooks, or a code that there is not.
        """
        rows = np.atleast_2d(codes)
        self._check_codebooks(rows)
        for number, (row, size) in enumerate(zip(rows, self.codebook_sizes, strict=True)):
            check_range(f"codes of codebook {number}", row, size)
        ids: Units = rows.astype(np.int64) + np.array(self.audio_offsets, np.int64)[:, None]
        return ids.reshape(codes.shape)

    def decode_audio(self, ids: Units) -> Units:
        """Return the units (T,) or codes (Q, T) of ids, int64: the inverse of `encode_audio`.

        Raises:
            FeatbankError: another number of codebooks, or an id that is none of its codebook's.
        """
        rows = np.atleast_2d(ids)
        self._check_codebooks(rows)
        for number, (row, size) in enumerate(zip(rows, self.codebook_sizes, strict=True)):
            check_range(f"ids of codebook {number}", row, size, first=self.audio_offsets[number])
        codes: Units = rows.astype(np.int64) - np.array(self.audio_offsets, np.int64)[:, None]
        return codes.reshape(ids.shape)

    def codebook_of(self, ids: Units) -> Units:
        """Return the codebook of each id, int64; -1 for what is no audio.

        Raises:
            FeatbankError: the ids are no integers.
        """
        check_integers("ids of a vocabulary", ids)
        bounds = (*self.audio_offsets, self.num_tokens)
        found = np.searchsorted(bounds, ids, side="right") - 1
        return np.where((ids >= bounds[0]) & (ids < bounds[-1]), found, -1)

    def kind_of(self, ids: Units) -> np.ndarray[Any, np.dtype[np.str_]]:
        """Return `text`, `special` or `audio` for each id.

        Raises:
            FeatbankError: an id means nothing, or is no integer.
        """
        check_integers("ids of a vocabulary", ids)
        check_range("ids of a vocabulary", ids, self.num_tokens)
        first = self.text_size + len(self.special)
        return np.where(ids < self.text_size, TEXT, np.where(ids < first, SPECIAL, AUDIO))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "text_size": self.text_size,
            "special": list(self.special),
            "codebook_sizes": list(self.codebook_sizes),
            "multiple": self.multiple,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary that `to_json` described.

        Raises:
            FeatbankError: a field is missing, unknown or out of range.
        """
        if set(fields) != {"text_size", "special", "codebook_sizes", "multiple"}:
            raise FeatbankError(
                "fields of a vocabulary",
                expected="codebook_sizes, multiple, special, text_size",
                got=", ".join(sorted(fields)),
            )
        return cls(**fields)

    def __iter__(self) -> Iterator[tuple[str, range]]:
        """Give the name and the ids of each block: text, special tokens one by one, codebooks."""
        yield TEXT, range(self.text_size)
        for name in self.special:
            yield name, range(self.special_id(name), self.special_id(name) + 1)
        for number, (offset, size) in enumerate(
            zip(self.audio_offsets, self.codebook_sizes, strict=True)
        ):
            yield f"{AUDIO} {number}", range(offset, offset + size)

    def _check_codebooks(self, rows: Units) -> None:
        if rows.ndim != 2 or len(rows) != len(self.codebook_sizes) or rows.dtype.kind not in "iu":
            raise FeatbankError(
                "codes of a vocabulary",
                expected=f"integers of {len(self.codebook_sizes)} codebooks",
                got=f"{rows.shape} of {rows.dtype}",
            )
