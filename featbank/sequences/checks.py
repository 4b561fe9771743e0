"""What the forms refuse alike."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from featbank.errors import FeatbankError
from featbank.units import Units


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
