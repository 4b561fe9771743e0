"""Shares of two versions in words: those that changed most."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from featbank.base.amounts import percent

_SHOWN = 3  # names whose shares changed most

Name = TypeVar("Name", bound=Hashable)


def shares_in_words(
    older: Mapping[Name, int], newer: Mapping[Name, int], named: Callable[[Name], str]
) -> tuple[str, str]:
    """Say the shares that changed most, those of both versions in one order.

    >>> shares_in_words({"en": 3, "fr": 1}, {"en": 1, "fr": 1}, str)
    ('en 75%, fr 25%', 'en 50%, fr 50%')

    Args:
        older: how many have each name; at least one has.
        newer: likewise.
        named: gives the words for a name.
    """
    before, now = _shares(older), _shares(newer)
    names = sorted({*before, *now}, key=str)
    names.sort(key=lambda name: -abs(before.get(name, 0) - now.get(name, 0)))
    told = (
        ", ".join(f"{named(name)} {percent(shares.get(name, 0))}" for name in names[:_SHOWN])
        for shares in (before, now)
    )
    return next(told), next(told)


def _shares(counts: Mapping[Name, int]) -> dict[Name, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}
