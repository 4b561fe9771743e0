"""Rounding of the numbers that checks and metrics state."""

from __future__ import annotations


def six_digits(value: float) -> float:
    """Keep six significant digits: the last bits of sums and logarithms differ between machines.

    >>> six_digits(2 / 3)
    0.666667
    """
    return float(f"{value:.6g}")
