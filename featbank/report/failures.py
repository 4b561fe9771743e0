"""Utterances that failed: how many in which list, by kind, and some of them by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from featbank.base.failure_kinds import MAX_FAILED, FailuresOfKind
from featbank.validation.result import CheckResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFailures:
    """One list of failures.

    Args:
        told: whose list it is.
        path: where it lies, below the folder of outputs.
        count: of the utterances in it.
        kinds: of them; empty where the check is of an older version.
    """

    told: str
    path: str
    count: int
    kinds: Sequence[FailuresOfKind]


def failure_lists(
    results: Sequence[CheckResult], corpus: str, prepared: int, kinds: Sequence[FailuresOfKind]
) -> Iterator[ListedFailures]:
    """Give each list that has an utterance: that of the manifests first, then those of stores.

    Args:
        results: one an option.
        corpus: its name.
        prepared: utterances that failed while the manifests were made.
        kinds: of those.
    """
    if prepared:
        path = f"manifests/{corpus}/failures.jsonl"
        yield ListedFailures(told="the manifests", path=path, count=prepared, kinds=kinds)
    for result in results:
        kind, _, option = result.name.partition("/")
        for store in result.stores:
            if store.num_failures:
                place = f"{store.name}/{store.split}"
                yield ListedFailures(
                    told=f"{result.name}/{place}",
                    path=f"{kind}/{corpus}/{option}/{place}/failures.jsonl",
                    count=store.num_failures,
                    kinds=store.failures,
                )


def failed_by_kind(lists: Sequence[ListedFailures]) -> dict[str, list[str]]:
    """Return some of the failures of each kind, in any list, each once."""
    found: dict[str, dict[str, None]] = {}
    for one in lists:
        for kind in one.kinds:
            named = found.setdefault(kind.kind, {})
            for example in kind.examples:
                if len(named) < MAX_FAILED:
                    named.setdefault(example)
    return {kind: list(named) for kind, named in found.items()}
