"""The numbers and curves that DVC compares from version to version, out of what was checked."""

from __future__ import annotations

from collections.abc import Sequence
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
    return tuple(map(sum, zip(*counted, strict=True)))


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
    """Return each codebook's usage for a DVC plot, the most used unit first, over all splits."""
    rows = []
    for result in results:
        usage = total_usage(result)
        ranked = sorted(enumerate(usage), key=lambda pair: (-pair[1], pair[0]))
        rows += [
            {
                "codebook": result.name,
                "rank": rank,
                "unit": unit,
                "count": count,
                "share": round(count / max(1, sum(usage)), 9),
            }
            for rank, (unit, count) in enumerate(ranked, start=1)
        ]
    return rows


def length_rows(lengths: LengthHistogram) -> list[dict[str, Any]]:
    """Return the lengths of the utterances for a DVC plot: `seconds` is where a bin begins."""
    return [
        {"split": split, "seconds": round(number * lengths.bin_s, 6), "count": count}
        for split, counts in lengths.counts.items()
        for number, count in enumerate(counts)
    ]
