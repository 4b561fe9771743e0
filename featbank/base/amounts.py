"""Formatting of rates, shares and hours for people: small ones are never shown as zero."""

from __future__ import annotations

import math

_SMALLEST = 1e-6  # below it, an exponent says more than a row of zeros


def amount(value: float, decimals: int = 0) -> str:
    """Return a number with so many decimals, and with more where it is below 10: two digits count.

    >>> [amount(value) for value in (0, 0.00284, 0.38, 4.25, 9.96, 42.4, 18_345.6)]
    ['0', '0.0028', '0.38', '4.2', '10', '42', '18,346']
    >>> [amount(value, 2) for value in (0, 0.00284, 4.25, 42.4)], amount(-0.04), amount(2e-9)
    (['0.00', '0.0028', '4.25', '42.40'], '-0.040', '2e-09')
    """
    size = abs(value)
    if 0 < size < _SMALLEST:
        return f"{value:.2g}"
    size = float(f"{size:.2g}") if size < 10 else size  # 9.96 is 10, and not 10.0
    if 0 < size < 10:
        decimals = max(decimals, 1 - math.floor(math.log10(size)))
    return f"{value:,.{decimals}f}"


def percent(share: float, decimals: int = 0) -> str:
    """Return a share of 1 in percent, by the rule of `amount`.

    >>> [percent(share, 1) for share in (0, 0.00038, 0.5, 1)]
    ['0.0%', '0.038%', '50.0%', '100.0%']
    """
    return f"{amount(100 * share, decimals)}%"


def times_real_time(factor: float) -> str:
    """Format a speed: how many seconds of audio are done in one second.

    >>> times_real_time(0.38), times_real_time(1345.6)
    ('0.38 x real time', '1,346 x real time')
    """
    return f"{amount(factor)} x real time"


def format_duration(seconds: float) -> str:
    """Return a length of time in the unit that suits it.

    >>> [format_duration(seconds) for seconds in (0, 26.4, 145, 11_310, 180e6)]
    ['0 s', '26.4 s', '2.4 min', '3.14 h', '50,000 h']
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    hours = seconds / 3600
    return f"{hours:.2f} h" if hours < 100 else f"{hours:,.0f} h"
