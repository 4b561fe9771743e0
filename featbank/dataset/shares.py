"""What part of a mixture each source has: weights and temperatures as whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from fractions import Fraction
from math import isfinite
from numbers import Integral, Real

from featbank.errors import ConfigError

WHOLE = 1 << 48
"""What shares sum to, but for their rounding."""


def tempered(sizes: Mapping[str, int], temperature: float) -> dict[str, Fraction]:
    """Return the weights n_i ** (1 / temperature) of sources of n_i items or tokens.

    1 keeps the sizes, and the higher it is the more alike the weights become (Arivazhagan et al.,
    2019, take 5). XLM-R and mT5 write the exponent instead, alpha = 1 / temperature = 0.3. The same
    on every machine: `ln` and `exp` of decimal numbers are correctly rounded.

    Raises:
        ConfigError: the temperature is not over 0.

    >>> {name: round(float(one)) for name, one in tempered({"a": 100, "b": 10000}, 2).items()}
    {'a': 10, 'b': 100}
    """
    if not _is_positive(temperature):
        raise ConfigError("temperature of a mixture", expected="over 0", got=repr(temperature))
    if temperature == 1:  # to the last digit: an epoch may then be each item once
        return {name: Fraction(size) for name, size in sizes.items()}
    context = Context(prec=40)
    found = {}
    # against the largest, so that no power of a low temperature runs over
    largest = context.ln(Decimal(max(sizes.values())))
    for name, size in sizes.items():
        behind = context.subtract(context.ln(Decimal(size)), largest)
        exponent = context.divide(behind, Decimal(float(temperature)))
        found[name] = Fraction(context.exp(exponent)) * max(sizes.values())
    return found


def checked_weights(weights: Mapping[str, float]) -> dict[str, Fraction]:
    """Return weights as exact numbers.

    Raises:
        ConfigError: one is not over 0.
    """
    for name, weight in weights.items():
        if not _is_positive(weight):
            raise ConfigError(
                f"weight of {name!r} in a mixture",
                expected="a number over 0",
                got=repr(weight),
                hint="leave a source out of the mixture rather than give it no weight",
            )
    return {
        # of NumPy's integers, a Fraction would be made of numbers that overflow
        name: Fraction(int(weight) if isinstance(weight, Integral) else float(weight))
        for name, weight in weights.items()
    }


def whole_shares(weights: Mapping[str, Fraction]) -> dict[str, int]:
    """Return the share of each weight in all of them, as whole numbers of 2 ** 48 in all.

    Raises:
        ConfigError: a weight is too small beside the others to be counted.

    >>> whole_shares({"a": Fraction(3), "b": Fraction(1)}) == {"a": 3 << 46, "b": 1 << 46}
    True
    """
    total = sum(weights.values())
    shares = {name: round(weight * WHOLE / total) for name, weight in weights.items()}
    for name, share in shares.items():
        if not share:
            raise ConfigError(
                f"weight of {name!r} in a mixture",
                expected="at least 1e-14 of all weights",
                got=float(weights[name] / total),
            )
    return shares


def _is_positive(number: object) -> bool:
    if isinstance(number, bool) or not isinstance(number, Real):
        return False
    return isfinite(number) and float(number) > 0
