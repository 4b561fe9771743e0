"""Shares of the sources of a mixture: weights and temperatures as whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any, Literal, get_args

from featbank.errors import ConfigError

By = Literal["picks", "tokens"]
"""What shares are of."""

WHOLE = 1 << 48
"""What shares sum to, but for their rounding."""


def shares_of_picks(
    sizes: Mapping[str, int],
    *,
    weights: Mapping[str, float] | None,
    temperature: float | None,
    by: By,
    num_tokens: Mapping[str, int] | None,
    count_tokens: Callable[[], Mapping[str, int]],
) -> dict[str, int]:
    """Return the share of each source in the picks, as whole numbers of 2 ** 48 in all.

    Args:
        sizes: what each source has to pick, by its name.
        weights: of each source; or else
        temperature: of `sizes`, or of tokens; None for 1.
        by: what the weights are shares of.
        num_tokens: of all that a source has; None to count them.
        count_tokens: does that.

    Raises:
        ConfigError: what is asked for does not fit.
    """
    if weights is not None and temperature is not None:
        raise ConfigError("weights and temperature", expected="one of them", got="both")
    if by not in get_args(By):
        raise ConfigError("by of a mixture", expected="'picks' or 'tokens'", got=repr(by))
    if num_tokens is not None and by != "tokens":
        raise ConfigError("by of a mixture", expected="'tokens' beside num_tokens", got=repr(by))
    amounts = sizes
    if by == "tokens":
        amounts = count_tokens() if num_tokens is None else _by_source(num_tokens, sizes)
        for name, amount in amounts.items():
            if amount < 1:
                raise ConfigError(f"num_tokens of {name!r}", expected="1 or more", got=amount)
    if weights is None:
        wanted = tempered(amounts, 1 if temperature is None else temperature)
    else:
        wanted = checked_weights(_by_source(weights, sizes))
    if by == "tokens":  # a share of tokens by the mean tokens of a pick is one of picks
        wanted = {
            name: weight * Fraction(sizes[name], amounts[name]) for name, weight in wanted.items()
        }
    return whole_shares(wanted)


def tempered(sizes: Mapping[str, int], temperature: float) -> dict[str, Fraction]:
    """Return weights in proportion to n_i ** (1 / temperature), of sources of n_i items or tokens.

    1 keeps the sizes, and the higher it is the more alike the weights become (Arivazhagan et al.,
    2019, take 5). XLM-R and mT5 write the exponent instead, alpha = 1 / temperature = 0.3. The same
    on every machine: `ln` and `exp` of decimal numbers are correctly rounded.

    Infinity makes them equal.

    Raises:
        ConfigError: the temperature is not over 0.

    >>> weights = tempered({"a": 100, "b": 10000}, 2)
    >>> round(float(weights["b"] / weights["a"]), 6)
    10.0
    """
    if temperature != inf and not _is_positive(temperature):
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
    try:
        return isfinite(number) and float(number) > 0
    except OverflowError:  # an integer that no float holds
        return False


def _by_source(numbers: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return numbers in the order of the sources."""
    if set(numbers) != set(sizes):
        raise ConfigError(
            "weights or num_tokens of a mixture",
            expected=f"one for each of {', '.join(sizes)}",
            got=", ".join(map(str, numbers)) or "none",
        )
    return {name: numbers[name] for name in sizes}
