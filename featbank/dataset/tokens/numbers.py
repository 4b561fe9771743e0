"""Numbers in windows of tokens: units or codes, and separators, padding and the like."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np

from featbank.base.units import Units
from featbank.errors import ConfigError
from featbank.sequences import Vocabulary
from featbank.sequences.checks import refuse_unit


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenNumbers:
    """The numbers used in windows: offsets of the codes, and special numbers that are no codes."""

    offsets: Units | None
    """Added to the codes of each codebook, (Q,) int64, or () for units; None for nothing."""
    separator: int
    begin: int | None
    pad: int | None
    """Stands where a codebook has no code; None where the pattern delays none."""
    padding: int
    size: int
    """Rows of an embedding for them: all are below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Special numbers asked for, or names of special tokens; None for the default."""

    separator: int | str | None
    begin: int | str | None
    padding: int | str | None
    pads: bool
    """Whether the pattern needs a pad."""
    pad: int | str | None


def stands_beside(what: str, value: object, num_units: int | None) -> int:
    """Return a special number, if it is no token and an embedding may have a row for it.

    Raises:
        ConfigError: it is a token, negative, or no integer.
    """
    if isinstance(value, bool | np.bool_ | float | np.floating):
        raise ConfigError(what, expected="an integer", got=repr(value))
    return refuse_unit(what, value, num_units, may_be_negative=False)


def own_numbers(
    asked: Asked, num_codebooks: int | None, codebook_size: int, *, distinct: bool
) -> TokenNumbers:
    """Choose numbers where there is no vocabulary: codes from 0 on, then the special ones.

    Args:
        asked: integers; the default of the separator is the first number that is no code.
        num_codebooks: Q; None for units.
        codebook_size: K.
        distinct: code c of codebook q becomes q K + c.

    Raises:
        ConfigError: one is a code, or no integer.
    """
    offsets = np.arange(num_codebooks or 1, dtype=np.int64) * codebook_size if distinct else None
    num_units = codebook_size * (num_codebooks or 1) if distinct else codebook_size

    def number(what: str, value: object) -> int:
        return stands_beside(what, value, num_units)

    separator = num_units if asked.separator is None else number("separator", asked.separator)
    begin = None if asked.begin is None else number("begin", asked.begin)
    padding = separator if asked.padding is None else number("padding", asked.padding)
    pad = None
    if asked.pads:
        taken = {separator, begin, padding}
        free = next(one for one in count(num_units) if one not in taken)
        pad = free if asked.pad is None else number("pad of delayed codes", asked.pad)
    beside = [one for one in (separator, begin, padding, pad) if one is not None]
    return TokenNumbers(
        offsets=offsets,
        separator=separator,
        begin=begin,
        pad=pad,
        padding=padding,
        size=max(num_units - 1, *beside) + 1,
    )


def vocabulary_numbers(
    asked: Asked, num_codebooks: int | None, codebook_size: int | None, vocabulary: Vocabulary
) -> TokenNumbers:
    """Take the numbers from the ids of a vocabulary.

    Args:
        asked: names of special tokens, or ids that are no audio; the separator is by default that
            of the vocabulary.
        num_codebooks: Q; None for units.
        codebook_size: K; None where the store does not state it.
        vocabulary: that has as many codebooks, of that size.

    Raises:
        ConfigError: its codebooks are others, or something has no id in it.
    """
    sizes = vocabulary.codebook_sizes
    if len(sizes) != (num_codebooks or 1) or (
        codebook_size is not None and set(sizes) != {codebook_size}
    ):
        raise ConfigError(
            "codebook_sizes of the vocabulary",
            expected=str([codebook_size or "any"] * (num_codebooks or 1)),
            got=list(sizes),
        )

    def number(what: str, value: int | str | None) -> int:
        if isinstance(value, str) and value in vocabulary.special:
            return vocabulary.special_id(value)
        audio = vocabulary.audio_offsets[0]
        if value is None or isinstance(value, str):
            names = " or ".join(map(repr, vocabulary.special))
            raise ConfigError(
                f"{what} in a vocabulary",
                expected=f"{names}, or an id below {audio}" if names else f"an id below {audio}",
                got="none" if value is None else value,
                hint="" if vocabulary.special else 'Vocabulary(special=["<s>"], ...) has a place',
            )
        found = stands_beside(f"{what} in a vocabulary", value, None)
        if found >= audio:
            raise ConfigError(
                f"{what} in a vocabulary", expected=f"an id below {audio}: no audio", got=found
            )
        return found

    separator = number(
        "separator", vocabulary.separator if asked.separator is None else asked.separator
    )
    offsets = np.array(vocabulary.audio_offsets, np.int64)
    return TokenNumbers(
        offsets=offsets,
        separator=separator,
        begin=None if asked.begin is None else number("begin", asked.begin),
        pad=number("pad of delayed codes", asked.pad) if asked.pads else None,
        padding=separator if asked.padding is None else number("padding", asked.padding),
        size=vocabulary.size,
    )
