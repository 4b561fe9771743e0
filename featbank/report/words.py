"""Formatting of sizes, durations and numbers for people."""

from __future__ import annotations


def format_size(num_bytes: int) -> str:
    """Return a size in the unit that suits it.

    >>> format_size(999), format_size(1_500_000), format_size(18 * 10**12)
    ('999 B', '1.5 MB', '18.0 TB')
    """
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def format_number(value: float | None) -> str:
    """Return a measured value in four digits, or a dash where there is none.

    >>> format_number(-3.14159), format_number(1234567.0), format_number(None)
    ('-3.142', '1,235,000', '-')
    """
    if value is None:
        return "-"
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the singular or plural.

    >>> counted(1, "unit"), counted(4000, "unit"), counted(0, "unit")
    ('1 unit', '4,000 units', 'no units')
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}s" if number else f"no {noun}s"
