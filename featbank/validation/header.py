"""Checks of a store's header against its folder, its shards, its values and its siblings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from featbank.base.failures import Failure, read_failures
from featbank.base.units import DURATIONS, UNITS
from featbank.errors import FeatbankError, StoreError
from featbank.store import MappedShard, ShardInfo, StoreHeader, read_header
from featbank.store.failure_list import failures_digest
from featbank.store.format import FAILURES_NAME, HEADER_NAME
from featbank.store.soundness import differences
from featbank.store.splits import split_problems
from featbank.validation.result import ProblemLog, StoreCheck
from featbank.validation.scan import ValueRules

MAX_UNITS = 1 << 20
"""No codebook is larger, nor are all of a frame together; a header that says so would have memory
taken for its counts."""

_OF_ONE_SPLIT = frozenset(
    [
        "name",
        "num_utterances",
        "num_frames",
        "num_failures",
        "failures_digest",
        "max_abs_error",
        "mean_abs_error",
        "numerics",
    ]
)


def is_merged(header: StoreHeader) -> bool:
    """Tell whether runs of equal units were merged, which leaves no frame rate."""
    of_units = header.name in (UNITS, DURATIONS) and header.time_axis is not None
    return of_units and header.frame_rate is None


def check_header(header: StoreHeader, folder: Path, log: ProblemLog) -> None:
    """Compare a header with the folder it stands in and with its own frame grid."""
    framing = header.framing
    promises: list[tuple[str, object, object]] = [("name", folder.parent.name, header.name)]
    if framing is None and header.time_axis is not None:
        log.add("no framing", "header", expected="the frame grid, to check lengths by", got="none")
    elif framing is not None and not is_merged(header):
        promises += [
            ("frame_rate", framing.frame_rate, header.frame_rate),
            ("first_frame_center_s", framing.first_frame_center_s, header.first_frame_center_s),
        ]
    for what, expected, got in promises:
        if expected != got:
            log.add("wrong header", what, expected=expected, got=got)
    listed = {info.name for info in header.shards}
    for path in sorted(folder.glob("*.h5")):
        if path.name not in listed:
            log.add(
                "stray shard", f"file {path.name}", expected="a header that lists it", got="none"
            )


def is_tokens(header: StoreHeader) -> bool:
    """Tell whether the values are units or codes, whose numbers are names."""
    return header.name == UNITS or header.codebook_size is not None


def value_rules(header: StoreHeader, log: ProblemLog) -> ValueRules:
    """Return what the header promises of the values.

    Tokens are what a codebook stands behind; without its size their range cannot be known.
    """
    if header.name == DURATIONS:
        return ValueRules(minimum=1)
    if not is_tokens(header):
        return ValueRules()
    num_codebooks = prod(header.shape)
    sizes: list[tuple[str, Any]] = []
    if header.codebook_size is not None:
        sizes.append(("codebook_size", header.codebook_size))
    if header.name == UNITS:
        codebook = header.provenance.get("codebook")
        found = codebook.get("num_clusters") if isinstance(codebook, dict) else None
        sizes.append(("provenance with codebook.num_clusters", found))
    for what, size in sizes:
        # True is an int, too
        if type(size) is not int or not 0 < size * max(1, num_codebooks) <= MAX_UNITS:
            log.add(
                "no codebook",
                "header",
                expected=f"{what} from 1 to {MAX_UNITS // max(1, num_codebooks)}",
                got=repr(size),
            )
            return ValueRules()
    (what, size), *others = sizes
    for _, other in others:
        if other != size:
            log.add("wrong header", what, expected=f"{other}, as in provenance", got=size)
    return ValueRules(num_units=size, num_codebooks=num_codebooks)


def compare_with_shard(
    header: StoreHeader, info: ShardInfo, shard: MappedShard, where: str, log: ProblemLog
) -> bool:
    """Tell whether a shard is as the header lists it; each difference is noted as a problem."""
    promises = list(differences(header, info, shard))
    for what, expected, got in promises:
        log.add("shard unlike its header", f"{where}, {what}", expected=expected, got=got)
    return not promises


def read_failed(folder: Path, header: StoreHeader, log: ProblemLog) -> list[Failure]:
    """Return the failure list, and compare it with what the header says of it."""
    path = folder / FAILURES_NAME
    try:
        failed = read_failures(path)
    except (FeatbankError, TypeError, ValueError) as error:
        log.add("damaged failure list", path.name, expected="failures as JSON lines", got=error)
        return []
    if len(failed) != header.num_failures:
        log.add(
            "wrong header",
            "num_failures",
            expected=f"{len(failed)}, as listed",
            got=header.num_failures,
        )
    elif (found := failures_digest(folder)) != header.failures_digest:
        log.add("damaged failure list", path.name, expected=header.failures_digest, got=found)
    return failed


def check_features(present: Sequence[str], checks: Sequence[StoreCheck], log: ProblemLog) -> None:
    """Compare the features that are there with those that the headers say one pass made."""
    listed: dict[str, str] = {}
    for check in checks:
        for name in _made_together(check):
            listed.setdefault(name, f"{check.name}/{check.split}")
    for name in sorted(listed.keys() - set(present)):
        log.add(
            "lost feature",
            f"feature {name!r}",
            expected=f"its stores, as the header of {listed[name]} lists it",
            got="none",
        )
    for name in sorted(set(present) - listed.keys()):
        log.add(
            "unlisted feature",
            f"feature {name!r}",
            expected="a header that lists it in provenance.stores",
            got="none",
        )
    if DURATIONS in present and UNITS not in present:
        log.add("no units", "", expected=f"stores of {UNITS} beside {DURATIONS}", got="none")


def check_statement(feature: Path, log: ProblemLog) -> None:
    """Compare the stores of a feature with what their folder states of them."""
    stores: dict[str, StoreHeader | None] = {}
    for path in sorted(feature.glob(f"*/{HEADER_NAME}")):
        try:
            stores[path.parent.name] = read_header(path.parent)
        except StoreError:  # the store's own check says so
            stores[path.parent.name] = None
    for problem in split_problems(feature, stores):
        log.add("unlike its splits", feature.name, expected=problem.expected, got=problem)


def check_splits_agree(checks: Sequence[StoreCheck], log: ProblemLog) -> None:
    """Compare the headers of the splits of one feature: one pass makes them all.

    They may differ in what they count and in the machines that computed them.
    """
    readable = [(check, _leaves(check.header)) for check in checks if check.header is not None]
    for check, found in readable[1:]:
        first, expected = readable[0]
        for path in sorted(expected.keys() | found.keys()):
            if expected.get(path) != found.get(path) and path.split(".")[0] not in _OF_ONE_SPLIT:
                log.add(
                    "splits unlike each other",
                    f"{check.name}/{check.split}, {path}",
                    expected=f"{expected.get(path)!r} as in {first.split}",
                    got=repr(found.get(path)),
                )


def _made_together(check: StoreCheck) -> list[str]:
    names = (check.header or {}).get("provenance", {}).get("stores")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested mappings.

    >>> _leaves({"a": {"b": 1, "c": [2]}, "d": None})
    {'a.b': 1, 'a.c': [2], 'd': None}
    """
    if not isinstance(value, Mapping):
        return {path: value}
    return {
        leaf: found
        for key, child in value.items()
        for leaf, found in _leaves(child, f"{path}.{key}" if path else str(key)).items()
    }
