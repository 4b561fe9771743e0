"""Tables: drawn for people on a terminal, tab-separated values for programs in a pipe or a file.

In a pipe, standard output has one table, its first line the names of the columns: names and values
are those of `--json`. What is said beside it goes to standard error (`printing.print_note`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from featbank.base.printing import on_terminal, print_json, print_line, printable

_DRAWN_ROWS = 1000  # of one drawn table: its widths are known only when its rows are


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column of a table.

    Args:
        key: its name for programs, as in `--json`.
        heading: for people; the key where it is empty.
        is_number: whether its values are numbers.
        show: writes a value for people; `str` by default, and a dash for none.
    """

    key: str
    heading: str = ""
    is_number: bool = False
    show: Callable[[Any], str] = str

    def shown(self, value: Any) -> str:
        """Return a value as people read it."""
        return "-" if value is None else self.show(value)


def print_table(
    columns: Sequence[TableColumn],
    rows: Iterable[Mapping[str, Any]],
    title: str = "",
    *,
    hidden: Collection[str] = (),
) -> None:
    """Print a table.

    Args:
        columns: of it.
        rows: values by the key of their column.
        title: above it, for people.
        hidden: keys of columns that say nothing here: people do not see them.
    """
    if not on_terminal():
        print_cells(column.key for column in columns)
        for row in rows:
            print_cells(row.get(column.key) for column in columns)
        return
    shown = [column for column in columns if column.key not in hidden]
    waiting = iter(rows)
    while some := list(islice(waiting, _DRAWN_ROWS)):
        _draw(shown, ([one.shown(row.get(one.key)) for one in shown] for row in some), title)
        title = ""
    if title:  # of no rows
        print_line(title)


def print_facts(facts: Iterable[tuple[str, Any]], title: str = "") -> None:
    """Print names and values, under a title for people."""
    if not on_terminal():
        print_cells(("name", "value"))
        for fact in facts:
            print_cells(fact)
        return
    columns = TableColumn(key="name"), TableColumn(key="value")
    _draw(columns, (list(map(str, fact)) for fact in facts), title, show_header=False)


def print_outcome(facts: Mapping[str, Any], sentence: str, *, as_json: bool) -> None:
    """Say what a command has done: in a sentence for people, as names and values for programs."""
    if as_json:
        print_json(facts)
    elif on_terminal():
        print_line(sentence)
    else:
        print_facts(facts.items())


def print_cells(values: Iterable[Any]) -> None:
    """Print one line of tab-separated values."""
    sys.stdout.write("\t".join(printable(_plain(value)) for value in values) + "\n")


def _plain(value: Any) -> str:
    """Write a value as programs read it: nothing for none, a list with commas."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_plain, value))
    return str(value)


def _draw(
    columns: Sequence[TableColumn],
    rows: Iterable[Sequence[str]],
    title: str,
    *,
    show_header: bool = True,
) -> None:
    if title:
        print_line(title)
    table = Table(show_header=show_header)
    for column in columns:
        # what is no number is shown to its end: an id may be needed for the next command
        table.add_column(
            Text(printable(column.heading or column.key)),
            justify="right" if column.is_number else "left",
            no_wrap=column.is_number,
            overflow="ellipsis" if column.is_number else "fold",
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(highlight=False).print(table)
