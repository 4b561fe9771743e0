"""One vocabulary for text, special tokens and the units or codes of speech."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from featbank.base.tensors import as_array, takes_tensors
from featbank.base.units import Units, check_integers
from featbank.errors import FeatbankError
from featbank.sequences.checks import check_range

TEXT, SPECIAL, AUDIO = "text", "special", "audio"
NOTHING: Mapping[int, int | str] = MappingProxyType({})


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
        separator: the special token that stands between utterances: in windows of tokens the number
            behind the last code, K, stands for it. By default the only special token; None where
            there are several.

    Raises:
        FeatbankError: a size is out of range, a name stands twice, `special` is no list of names,
            or the separator is none of them.

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
    separator: str | None = None

    def __post_init__(self) -> None:
        special = tuple(self.special)
        # a string is a sequence, too: of its letters; and a set has another order in each process
        if isinstance(self.special, str | Set) or not all(
            isinstance(name, str) for name in special
        ):
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
        if self.separator is None and len(special) == 1:
            object.__setattr__(self, "separator", special[0])
        if self.separator is not None and self.separator not in special:
            raise FeatbankError(
                "separator of a vocabulary",
                expected=" or ".join(special) or "none, for there are no special tokens",
                got=self.separator,
            )
        # hashable, and nobody changes it
        object.__setattr__(self, "special", special)
        object.__setattr__(self, "codebook_sizes", codebook_sizes)
        # of NumPy's integers, JSON knows none, and narrow ones overflow in sums
        object.__setattr__(self, "text_size", text_size)
        object.__setattr__(self, "multiple", multiple)

    @cached_property
    def audio_offsets(self) -> tuple[int, ...]:
        """Id of code 0 of each codebook."""
        first = self.text_size + len(self.special)
        ends = first + np.cumsum((0, *self.codebook_sizes))
        return tuple(ends[:-1].tolist())

    @property
    def num_tokens(self) -> int:
        """Number of ids that mean something."""
        return self.text_size + len(self.special) + sum(self.codebook_sizes)

    @property
    def size(self) -> int:
        """Number of rows of an embedding: `num_tokens`, rounded up to a multiple."""
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

    @takes_tensors
    def encode_audio(self, codes: Units, special: Mapping[int, int | str] = NOTHING) -> Units:
        """Return the ids of units (T,), or of codes (Q, T), each codebook with its own, int64.

        Args:
            codes: integers, of NumPy or torch. K, the number behind the last code, is the separator
                where the vocabulary states one, so that windows of tokens are encoded whole.
            special: what else stands beside the codes, such as a padding: a special token's name,
                or an id of the text, by the number that stands for it.

        Raises:
            FeatbankError: another number of codebooks, or a code that there is not.

        >>> vocabulary = Vocabulary(text_size=1000, special=["<s>"], codebook_sizes=[500])
        >>> vocabulary.encode_audio(np.array([0, 499, 500]))
        array([1001, 1500, 1000])
        """
        rows = np.atleast_2d(codes)
        self._check_codebooks(rows)
        ids = np.empty(rows.shape, np.int64)
        for number, (row, size) in enumerate(zip(rows, self.codebook_sizes, strict=True)):
            beside = self._beside(size, special)
            is_code = ~np.isin(row, [*beside])
            try:
                check_range(f"codes of codebook {number}", row[is_code], size)
            except FeatbankError as error:
                if error.got == str(size) and self.special:
                    error.hint = f'if {size} is a separator, say Vocabulary(separator="...")'
                raise
            ids[number] = row
            ids[number, is_code] += self.audio_offsets[number]
            for one, special_id in beside.items():
                ids[number, row == one] = special_id
        return ids.reshape(np.shape(codes))

    @takes_tensors
    def decode_audio(self, ids: Units, special: Mapping[int, int | str] = NOTHING) -> Units:
        """Return the units (T,) or codes (Q, T) of ids, int64: the inverse of `encode_audio`.

        Raises:
            FeatbankError: another number of codebooks, or an id that is none of its codebook's.
        """
        rows = np.atleast_2d(ids)
        self._check_codebooks(rows)
        codes = np.empty(rows.shape, np.int64)
        for number, (row, size) in enumerate(zip(rows, self.codebook_sizes, strict=True)):
            first, beside = self.audio_offsets[number], self._beside(size, special)
            is_code = ~np.isin(row, [*beside.values()])
            check_range(f"ids of codebook {number}", row[is_code], size, first=first)
            codes[number] = row
            codes[number, is_code] -= first
            for one, special_id in beside.items():
                codes[number, row == special_id] = one
        return codes.reshape(np.shape(ids))

    @takes_tensors
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
        ids = as_array(ids)
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
            "separator": self.separator,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary that `to_json` described.

        Raises:
            FeatbankError: a field is missing, unknown or out of range.
        """
        # those that were written before there was a separator have none
        if {*fields, "separator"} != {*cls().to_json()}:
            raise FeatbankError(
                "fields of a vocabulary",
                expected="codebook_sizes, multiple, separator, special, text_size",
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

    def _beside(self, size: int, special: Mapping[int, int | str]) -> dict[int, int]:
        """Return the ids of what stands beside the codes of a codebook, by its number there."""
        stated: dict[int, int | str] = {} if self.separator is None else {size: self.separator}
        beside = {
            operator.index(number): self.special_id(one) if isinstance(one, str) else one
            for number, one in {**stated, **special}.items()
        }
        if taken := [number for number in beside if 0 <= number < size]:
            raise FeatbankError(
                "number of a special token", expected=f"no code: {size} or more", got=taken[0]
            )
        first = self.text_size + len(self.special)
        ids = set(beside.values())
        if len(ids) < len(beside) or any(not 0 <= one < first for one in ids):
            raise FeatbankError(
                "ids of special tokens", expected=f"each its own, below {first}", got=beside
            )
        return beside

    def _check_codebooks(self, rows: Units) -> None:
        if rows.ndim != 2 or len(rows) != len(self.codebook_sizes) or rows.dtype.kind not in "iu":
            raise FeatbankError(
                "codes of a vocabulary",
                expected=f"integers of {len(self.codebook_sizes)} codebooks",
                got=f"{rows.shape} of {rows.dtype}",
            )
