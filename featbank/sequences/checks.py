"""Checks of integers that the transforms and the training reads share."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from featbank.base.units import Units
from featbank.errors import ConfigError, FeatbankError


def check_range(what: str, values: Units, size: int, first: int = 0) -> None:
    """Refuse an integer that is none of the `size` from `first` on.

    Raises:
        FeatbankError: there is one; it is named.
    """
    if values.size and (values.min() < first or values.max() >= first + size):
        raise FeatbankError(
            what,
            expected=f"{first} to {first + size - 1}",
            got=values.min() if values.min() < first else values.max(),
        )


def check_pad(pad: int, dtype: np.dtype[Any]) -> None:
    """Refuse a pad that an array of this dtype would hold as another integer.

    Raises:
        FeatbankError: it is out of range.
    """
    limits = np.iinfo(dtype)
    if not limits.min <= operator.index(pad) <= limits.max:
        raise FeatbankError("pad", expected=f"a value of {dtype}", got=pad)


def refuse_unit(
    what: str, value: Any, codebook_size: int | None, *, may_be_negative: bool = True
) -> int:
    """Return a special number (a separator, a padding, an end), if it is no unit.

    Args:
        what: names it in the sentence.
        value: an integer of 64 bits, or a float equal to one.
        codebook_size: units are from 0 to one less; None where it is not known.
        may_be_negative: whether one below 0 will do, for which no embedding has a row.

    Raises:
        ConfigError: it is a unit, or no such integer.
    """
    try:
        number = int(value if isinstance(value, float) else operator.index(value))
    except (TypeError, ValueError, OverflowError):  # a text; NaN; an infinity
        number = None
    if number is None or number != value or not -(1 << 63) <= number < 1 << 63:
        raise ConfigError(what, expected="an integer of 64 bits", got=repr(value))
    first = 0 if codebook_size is None else codebook_size
    if number < first and not (may_be_negative and number < 0):
        raise ConfigError(
            what,
            expected="a number that is no unit: "
            + ("negative, or " if may_be_negative else "")
            + f"{first} or more",
            got=number,
            hint="no embedding has a row for it; PackedWindows tells what is no target"
            if number < 0
            else "else nobody can tell it from a unit",
        )
    return number
