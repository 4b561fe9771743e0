"""Tables of the gauges of tokens: by split, by codebook and by disturbance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from featbank.report.gauges import Gauges, store_gauges, together
from featbank.report.metrics import pooled_usage, token_fingerprints
from featbank.report.words import counted
from featbank.stability.result import DisturbedTokens, Stability
from featbank.validation.agreement import Agreement, LabelCheck
from featbank.validation.result import CheckResult

Table = tuple[str, list[tuple[str, Gauges]]]
"""A title, and rows of a label and gauges."""

StabilityTable = tuple[str, str, list[DisturbedTokens]]
"""A title, why nothing is known, and a row a disturbance where something is."""


def gauge_tables(results: Sequence[CheckResult]) -> Iterator[Table]:
    """Give each store of tokens with a row a split: its gauges, several codebooks together."""
    for result in results:
        for name, stores in groupby(result.stores, key=lambda store: store.name):
            rows = [
                (store.split, together(gauges))
                for store in stores
                if (gauges := store_gauges(store.codebooks, store.audio_s))
            ]
            if rows:
                yield f"{result.name}/{name}", rows


def codebook_tables(
    results: Sequence[CheckResult],
) -> Iterator[Table]:
    """Give each store of several codebooks with a row a codebook: its gauges in all splits."""
    for result in results:
        for name, codebooks in pooled_usage(result).items():
            counted_in = [one for one in result.stores if one.name == name and one.codebooks]
            audio_s = sum(one.audio_s for one in counted_in)
            gauges = store_gauges(codebooks, audio_s)
            if len(gauges) > 1:
                rows = [(str(number), one) for number, one in enumerate(gauges)]
                yield f"{result.name}/{name}: {counted(len(gauges), 'codebook')}", rows


def label_tables(
    results: Sequence[CheckResult],
) -> Iterator[tuple[str, list[tuple[str, LabelCheck, Agreement]]]]:
    """Give each store of tokens whose frames have labels with a row a split, codebooks averaged."""
    for result in results:
        for name, stores in groupby(result.stores, key=lambda store: store.name):
            rows = [
                (store.split, store.labels, Agreement.mean(store.labels.codebooks))
                for store in stores
                if store.labels and store.labels.codebooks
            ]
            if rows:
                yield f"{result.name}/{name}", rows


def label_codebook_tables(
    results: Sequence[CheckResult],
) -> Iterator[tuple[str, list[tuple[str, Agreement]]]]:
    """Give each store of several codebooks whose frames have labels with a row a codebook."""
    for result in results:
        for store in result.stores:
            codebooks = store.labels.codebooks if store.labels else ()
            if len(codebooks) > 1:
                rows = [(str(number), one) for number, one in enumerate(codebooks)]
                told = counted(len(codebooks), "codebook")
                yield f"{result.name}/{store.name}/{store.split}: {told}", rows


def stability_tables(
    results: Sequence[CheckResult], stabilities: Mapping[str, Stability]
) -> Iterator[StabilityTable]:
    """Give each store of tokens: why its stability is not known, or a row a disturbance."""
    for result in results:
        found = stabilities.get(result.name)
        for name, fingerprint in token_fingerprints(result).items():
            by_kind = found and found.of_store(name, fingerprint)
            absent = ""
            if by_kind is None:
                absent = "not measured: python stages/stability.py does, unless told 0 utterances"
            elif not by_kind:
                absent = "not measured: no utterance of the sample has a frame"
            yield f"{result.name}/{name}", absent, list((by_kind or {}).values())
