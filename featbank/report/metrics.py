"""Metrics and curves of a validation, which DVC compares between versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from featbank.base.units import UNITS
from featbank.report.gauges import store_gauges, together
from featbank.stability.result import DisturbedTokens, Stability
from featbank.validation.agreement import Agreement
from featbank.validation.inertia import HeldOutInertia
from featbank.validation.result import CheckResult, LengthHistogram, StoreCheck
from featbank.validation.rounding import six_digits
from featbank.validation.usage import CodebookUsage, pool


def pooled_usage(result: CheckResult) -> dict[str, tuple[CodebookUsage, ...]]:
    """Return how often each token occurs in all splits, by store name; of token stores alone."""
    return {
        name: pool(store.codebooks for store in stores if store.codebooks)
        for name, stores in groupby(
            (store for store in result.stores if store.codebooks is not None),
            key=lambda store: store.name,
        )
    }


def token_fingerprints(result: CheckResult) -> dict[str, str]:
    """Return the fingerprint of each store of tokens, by its name."""
    return {
        store.name: store.header["fingerprint"]
        for store in result.stores
        if store.codebooks is not None and store.header is not None
    }


def metrics(
    results: Sequence[CheckResult], stabilities: Mapping[str, Stability] | None = None
) -> dict[str, Any]:
    """Return the numbers worth following from version to version, by option, feature and split.

    A store of tokens has its `Gauges` and, where the corpus has labels, its `Agreement` with them,
    and one of several codebooks those of each besides. An option whose codebook can be held against
    stored features has its inertia: of the fit, unless it was imported, and of the held-out splits.

    Args:
        results: one an option.
        stabilities: by the names of the options. Where one is of the tokens that are stored, those
            have their flip rate and unit edit distance, by disturbance.
    """
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
            known = {name: number for name, number in numbers.items() if number is not None}
            node = _node(tree, f"{result.name}/{store.name}")
            node[store.split] = known | _token_numbers(store)
        if result.inertia is not None and not result.inertia.absent:
            _node(tree, result.name)["inertia"] = _inertia_numbers(result.inertia)
        stability = (stabilities or {}).get(result.name)
        for name, fingerprint in token_fingerprints(result).items():
            if by_kind := stability and stability.of_store(name, fingerprint):
                _node(tree, f"{result.name}/{name}")["stability"] = _stability_numbers(by_kind)
    return tree


def usage_curves(results: Sequence[CheckResult]) -> dict[str, list[dict[str, Any]]]:
    """Return the usage of codebooks for DVC's plots: a curve a codebook, a row a rank.

    A curve is named after its option, such as `mfcc-kmeans100`, and holds the share of the frames
    that the unit of that rank has in all splits, the most used first. Codebooks of which each frame
    has several are in the report instead: there may be dozens.
    """
    curves = {}
    for result in results:
        for name, codebooks in pooled_usage(result).items():
            if len(codebooks) != 1:
                continue
            option = result.name.rpartition("/")[2]
            counts = codebooks[0].frames
            total = max(1, sum(counts))
            curves[option if name == UNITS else f"{option}-{name}"] = [
                {"rank": rank, "share": round(count / total, 9)}
                for rank, count in enumerate(sorted(counts, reverse=True), start=1)
            ]
    return curves


def length_curves(lengths: LengthHistogram) -> dict[str, list[dict[str, Any]]]:
    """Return the lengths of the utterances for DVC's plots: a curve a split, a row a bin.

    `seconds` is where a bin begins.
    """
    return {
        split: [
            {"seconds": round(number * lengths.bin_s, 6), "utterances": count}
            for number, count in enumerate(counts)
        ]
        for split, counts in lengths.by_split
    }


def _node(tree: dict[str, Any], path: str) -> dict[str, Any]:
    """Return what lies at a path of the tree, made where it is missing."""
    for step in path.split("/"):
        tree = tree.setdefault(step, {})
    return tree


def _token_numbers(store: StoreCheck) -> dict[str, Any]:
    gauges = store_gauges(store.codebooks, store.audio_s)
    agreements = store.labels.codebooks if store.labels else ()
    numbers: dict[str, Any] = dict(together(gauges).rounded()) if gauges else {}
    if store.labels is not None:
        numbers["labels"] = store.labels.num_labels
        numbers["labelled_frames"] = store.labels.num_frames
        numbers["unlabelled_frames"] = store.labels.num_unlabelled
    if agreements:
        numbers |= _agreement_numbers(Agreement.mean(agreements))
    if len(gauges) > 1:
        numbers["codebooks"] = {
            f"{number:02}": {
                **one.rounded(),
                **(_agreement_numbers(agreements[number]) if agreements else {}),
            }
            for number, one in enumerate(gauges)
        }
    return numbers


def _inertia_numbers(inertia: HeldOutInertia) -> dict[str, float]:
    splits = {split: one.mean_squared_distance for split, one in inertia.splits.items()}
    return splits if inertia.fitted is None else {"fit": inertia.fitted, **splits}


def _stability_numbers(by_kind: Mapping[str, DisturbedTokens]) -> dict[str, dict[str, float]]:
    return {
        kind: {
            "flip_rate": six_digits(one.flip_rate),
            "unit_edit_distance": six_digits(one.unit_edit_distance),
        }
        for kind, one in by_kind.items()
    }


def _agreement_numbers(agreement: Agreement) -> dict[str, float]:
    return {name: value for name, value in asdict(agreement).items() if value is not None}
