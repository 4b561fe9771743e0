"""Stores in a table: one row each, with its splits as columns and its totals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from featbank.base.split_names import in_order
from featbank.report.origins import has_random_weights, weights_source
from featbank.validation.result import CheckResult, StoreCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOfSplits:
    """One store, all splits of it.

    Args:
        name: such as `features/fbank/fbank`.
        by_split: the check of each.
    """

    name: str
    by_split: Mapping[str, StoreCheck]

    @property
    def stores(self) -> Sequence[StoreCheck]:
        """The splits, in the order of the check."""
        return list(self.by_split.values())

    def total(self, field: str) -> Any:
        """Return the sum of a number over all splits, such as `num_frames`."""
        return sum(getattr(store, field) for store in self.stores)

    @property
    def header(self) -> Mapping[str, Any] | None:
        """The header of the first split that has one: splits agree, or that is a problem."""
        return next((store.header for store in self.stores if store.header is not None), None)

    @property
    def rate(self) -> str:
        """Frames a second; `varies` where runs are merged, `once` where an utterance has one."""
        if self.header is None:
            return "-"
        if self.header["frame_rate"]:
            return f"{self.header['frame_rate']:g}"
        return "varies" if self.header.get("time_axis") is not None else "once"

    @property
    def type(self) -> str:
        """Type of a value, times the shape of a frame."""
        if self.header is None:
            return "-"
        return " \u00d7 ".join([self.header["dtype"], *map(str, self.header["shape"])])

    @property
    def weights(self) -> str:
        """Sources of the weights behind it."""
        found = {one: None for store in self.stores if (one := weights_source(store))}
        return ", ".join(found) or "-"

    @property
    def is_random(self) -> bool:
        """Whether weights behind it are random."""
        return any(has_random_weights(store) for store in self.stores)


def store_rows(results: Sequence[CheckResult]) -> Iterator[RowOfSplits]:
    """Give the stores of all options, in their order."""
    for result in results:
        for name, stores in groupby(result.stores, key=lambda store: store.name):
            by_split = {store.split: store for store in stores}
            yield RowOfSplits(name=f"{result.name}/{name}", by_split=by_split)


def splits_of(rows: Sequence[RowOfSplits]) -> list[str]:
    """Return the splits that any store has, in their order."""
    return in_order({split for row in rows for split in row.by_split})
