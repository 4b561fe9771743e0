"""Bars, and the tables that show whether they are met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Bar:
    """What was promised, and what was measured.

    Args:
        text: what is measured, and against what.
        bound: that is promised.
        value: that was measured.
        at_most: whether the bound is an upper one.
        unit: behind both numbers.
    """

    text: str
    bound: float
    value: float
    at_most: bool = False
    unit: str = ""

    @property
    def is_met(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        met = "met" if self.is_met else "not met"
        bound, value = number(self.bound), number(self.value)
        return f"bar: {self.text} {sign} {bound}{self.unit}: {value}{self.unit} {met}"


@dataclass(slots=True)
class Report:
    """One table, and the bars that it is about.

    Args:
        title: of the table.
        columns: their headings; the first names the row.
        rows: cells, numbers or text.
        bars: below the table.
        notes: below the bars.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Any]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def print(self, console: Console) -> None:
        """Draw the table."""
        table = Table(title=self.title, title_justify="left")
        for place, heading in enumerate(self.columns):
            table.add_column(heading, justify="right" if place else "left")
        for row in self.rows:
            table.add_row(*(escape(number(cell)) for cell in row))
        console.print(table)
        for bar in self.bars:
            console.print(str(bar), style="green" if bar.is_met else "red", highlight=False)
        for note in self.notes:
            console.print(note, style="dim", highlight=False)
        console.print()

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        bars = [{**asdict(bar), "is_met": bar.is_met} for bar in self.bars]
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "bars": bars, "notes": self.notes}


def number(cell: Any) -> str:
    """Write a cell: three digits that matter, thousands apart.

    >>> number(1234.5), number(0.9712), number("floor")
    ('1,234', '0.97', 'floor')
    """
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
