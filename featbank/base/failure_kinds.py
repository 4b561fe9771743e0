"""Failure lists in short: how many utterances failed in which way, and some of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from featbank.base.failures import Failure, brief

MAX_FAILED = 10
"""Utterances of a kind that are named; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailuresOfKind:
    """The failures of one kind in one list.

    Args:
        kind: one of `AUDIO_FAULTS`.
        count: of them.
        examples: the first `MAX_FAILED` of the list, each an id and what went wrong.
    """

    kind: str
    count: int
    examples: tuple[str, ...]


def failures_by_kind(failures: Iterable[Failure]) -> tuple[FailuresOfKind, ...]:
    """Count failures by kind, the most frequent first; memory holds those that are named.

    >>> lost = Failure(id="a", audio="a.wav", kind="missing", error="no file")
    >>> failures_by_kind([lost])[0].examples
    ('a (no file)',)
    """
    counts: dict[str, int] = {}
    named: dict[str, list[str]] = {}
    for one in failures:
        counts[one.kind] = counts.get(one.kind, 0) + 1
        examples = named.setdefault(one.kind, [])
        if len(examples) < MAX_FAILED:
            told = f": expected {one.expected}, got {one.got}" if one.got else ""
            examples.append(f"{one.id} ({brief(one.error + told)})")
    return tuple(
        FailuresOfKind(kind=kind, count=counts[kind], examples=tuple(named[kind]))
        for kind in sorted(counts, key=lambda kind: (-counts[kind], kind))
    )
