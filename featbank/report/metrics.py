"""The numbers and curves that DVC compares from version to version, out of what was checked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from math import log2
from typing import Any

from featbank.validation.result import CheckResult, LengthHistogram


def entropy_bits(usage: Sequence[int]) -> float:
    """Return the entropy of a codebook's usage; its perplexity is 2 to the power of it.

    >>> entropy_bits([5, 5, 0, 10])
    1.5
    """
    total = sum(usage)
    return sum(count / total * log2(total / count) for count in usage if count)


def total_usage(result: CheckResult) -> tuple[int, ...]:
    """Return how often each unit occurs in all splits; empty where there are no units."""
    counted = [store.usage for store in result.stores if store.usage]
    # splits of codebooks of different sizes are a problem that the check names
    return tuple(map(sum, zip_longest(*counted, fillvalue=0)))


def metrics(results: Sequence[CheckResult]) -> dict[str, Any]:
    """Return the numbers worth following from version to version, by option, feature and split."""
    tree: dict[str, Any] = {"problems": sum(p.count for r in results for p in r.all_problems)}
    for result in results:
        for store in result.stores:
            numbers = {
                "utterances": store.num_utterances,
                "failures": store.num_failures,
                "hours": round(store.audio_s / 3600, 6),
                "frames": store.num_frames,
                "bytes": store.num_bytes,
                "frame_rate": (store.header or {}).get("frame_rate"),
                "mean": store.mean,
                "std": store.std,
                "problems": sum(problem.count for problem in store.problems),
            }
            if store.usage is not None:
                numbers["perplexity"] = round(2 ** entropy_bits(store.usage), 3)
            known = {name: number for name, number in numbers.items() if number is not None}
            node = tree
            for step in (*result.name.split("/"), store.name):
                node = node.setdefault(step, {})
            node[store.split] = known
    return tree


def usage_rows(results: Sequence[CheckResult]) -> list[dict[str, Any]]:
    """Return the usage of codebooks for a DVC plot: a row a rank, a column a codebook.

    A column is named after its option, such as `mfcc-kmeans100`, and holds the share of the unit of
    that rank in all splits, the most used first. A codebook with fewer units has null below them,
    for DVC wants the same columns in every row.
    """
    columns = {}
    for result in results:
        if usage := total_usage(result):
            total = max(1, sum(usage))
            shares = [round(count / total, 9) for count in sorted(usage, reverse=True)]
            columns[result.name.rpartition("/")[2]] = shares
    return [
        {"rank": rank, **dict(zip(columns, shares, strict=True))}
        for rank, shares in enumerate(zip_longest(*columns.values()), start=1)
    ]


def length_rows(lengths: LengthHistogram) -> list[dict[str, Any]]:
    """Return the lengths of the utterances for a DVC plot: a row a bin, a column a split.

    `seconds` is where a bin begins.
    """
    splits = [split for split, _ in lengths.by_split]
    return [
        {"seconds": round(number * lengths.bin_s, 6), **dict(zip(splits, counts, strict=True))}
        for number, counts in enumerate(zip(*(bins for _, bins in lengths.by_split), strict=True))
    ]
