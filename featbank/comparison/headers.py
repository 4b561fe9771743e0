"""Compare what two headers say, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from featbank.base.printing import flattened
from featbank.comparison.findings import CodebookDifference, HeaderChange, StoreDifference
from featbank.store import StoreHeader

_COUNTED = ("shards", "num_utterances", "num_frames", "max_abs_error", "mean_abs_error")
"""What follows from the rows, which are compared themselves."""


def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[HeaderChange, ...]:
    """Return which leaves of two nested JSON objects differ, sorted by their dotted names.

    >>> moved({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}})
    (HeaderChange(field='a.c', before='2', after=None),)
    """
    leaves, others = dict(_leaves(before)), dict(_leaves(after))
    return tuple(
        HeaderChange(field=name, before=leaves.get(name), after=others.get(name))
        for name in sorted(leaves.keys() | others.keys())
        if leaves.get(name) != others.get(name)
    )


def moved_headers(before: StoreHeader, after: StoreHeader) -> tuple[HeaderChange, ...]:
    """Return what two headers say in other ways, but for what follows from their rows."""
    fields = [one.to_json() for one in (before, after)]
    return moved(*({k: v for k, v in one.items() if k not in _COUNTED} for one in fields))


def moved_together(
    found: Iterable[StoreDifference | CodebookDifference],
) -> dict[HeaderChange, list[str]]:
    """Return each thing that is said in another way once, and the paths where it is."""
    paths: dict[HeaderChange, list[str]] = {}
    for one in found:
        for change in one.moved:
            paths.setdefault(change, []).append(one.path)
    return paths


def _leaves(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return flattened(_by_number(fields))


def _by_number(value: Any) -> Any:
    """Give lists of objects as objects by number, so that one field in one of them is a leaf."""
    if isinstance(value, Mapping):
        return {key: _by_number(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(one, Mapping) for one in value):
        return {str(number): _by_number(inner) for number, inner in enumerate(value)}
    return value
