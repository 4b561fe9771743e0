"""Output of the commands: tables for people, JSON for programs, control characters escaped."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from featbank.base.amounts import amount

WIDTH = 120
"""Columns of a table that goes to a file or a pipe."""


def printable(text: str) -> str:
    r"""Return `text` with all that could steer a terminal escaped.

    >>> printable("a\x1b[2Jb\nc")
    'a\\x1b[2Jb\\nc'
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def print_line(text: str) -> None:
    """Print one line, however long it is."""
    sys.stdout.write(printable(text) + "\n")


def print_json(value: Any) -> None:
    """Print one JSON document."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_json_rows(facts: Mapping[str, Any], name: str, rows: Iterable[Any]) -> None:
    """Print one JSON document: the entries of `facts`, and `rows` under `name`.

    Memory holds one row at a time, for there may be ten million.
    """
    sys.stdout.write(f"{json.dumps(facts)[:-1]}, {json.dumps(name)}: [")
    for number, row in enumerate(rows):
        sys.stdout.write(f"{',' if number else ''}\n  {json.dumps(row)}")
    sys.stdout.write("\n]}\n")


def print_table(
    columns: Mapping[str, bool], rows: Iterable[Sequence[str]], title: str = ""
) -> None:
    """Print a table.

    Args:
        columns: heading, and whether its values are numbers.
        rows: one text a column.
        title: above it, on lines of its own.
    """
    table = Table()
    for heading, numbers in columns.items():
        # what is no number is shown to its end: an id may be needed for the next command
        table.add_column(
            Text(printable(heading)),
            justify="right" if numbers else "left",
            no_wrap=numbers,
            overflow="ellipsis" if numbers else "fold",
        )
    _print(table, rows, title)


def print_facts(facts: Iterable[tuple[str, str]], title: str) -> None:
    """Print names and values under a title."""
    table = Table(show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    _print(table, facts, title)


def _print(table: Table, rows: Iterable[Sequence[str]], title: str) -> None:
    if title:
        print_line(title)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False).print(table)


def size_text(num_bytes: int) -> str:
    """Write a size for people.

    >>> size_text(7), size_text(406868)
    ('7 bytes', '0.41 MB')
    """
    return f"{num_bytes:,} bytes" if num_bytes < 10_000 else f"{amount(num_bytes / 1e6, 2)} MB"


def flattened(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Give the leaves of nested JSON values, each under its dotted name.

    >>> list(flattened({"a": {"b": 1, "c": []}, "d": None}))
    [('a.b', '1'), ('a.c', '[]'), ('d', 'null')]
    """
    if isinstance(value, Mapping) and (value or not name):
        for key, inner in value.items():
            yield from flattened(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def at_least(least: int) -> Callable[[str], int]:
    """Return a parser of command-line numbers that refuses those below `least`."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a number from {least} on, got {text!r}")
        return int(text)

    return number
