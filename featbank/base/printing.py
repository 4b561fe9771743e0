"""Output of the commands: lines for people, JSON for programs, control characters escaped."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from featbank.base.amounts import amount


def on_terminal() -> bool:
    """Tell whether a person sees what is printed, and not a program or a file."""
    return sys.stdout.isatty()


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


def print_note(text: str) -> None:
    """Print a line about the data that is printed: in a pipe, not among it."""
    if on_terminal():
        print_line(text)
    else:
        with suppress(OSError):  # nobody listens
            sys.stderr.write(printable(text) + "\n")


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
