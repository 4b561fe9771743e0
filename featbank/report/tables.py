"""The gauges of tokens as rows of tables: by split, and by codebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from featbank.report.gauges import Gauges, store_gauges, together
from featbank.report.metrics import pooled_usage
from featbank.report.words import counted
from featbank.validation.agreement import Agreement, LabelCheck
from featbank.validation.result import CheckResult

Table = tuple[str, list[tuple[str, Gauges]]]
"""A title, and rows of a label and gauges."""


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
            audio_s = sum(store.audio_s for store in result.stores if store.name == name)
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
