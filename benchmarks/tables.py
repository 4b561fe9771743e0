"""Print the tables of a run as Markdown, for a README: `python -m benchmarks.tables FILE.json`.

The file is what `--json FILE` wrote, of `python -m benchmarks` or of `python -m benchmarks.gpu`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar, number


def main(arguments: Sequence[str]) -> None:
    """Print all tables of a file."""
    [path] = arguments
    for report in json.loads(Path(path).read_text())["reports"]:
        print("\n".join(lines(report)), end="\n\n")


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Give a report as lines of Markdown: its title, its rows, its bars."""
    yield f"{report['title']}:\n"
    columns = list(report["rows"][0]) if report["rows"] else []
    if columns:
        yield _row(columns)
        yield _row(["---"] * len(columns))
    for row in report["rows"]:
        yield _row([number(cell) for cell in row.values()])
    if report["bars"]:
        yield "\n" + _row(["bar", "bound", "measured"])
        yield _row(["---"] * 3)
    for fields in report["bars"]:
        bar = Bar(**{name: value for name, value in fields.items() if name != "is_met"})
        missed = "" if bar.is_met else ", not met"
        yield _row([bar.text, number(bar.bound) + bar.unit, number(bar.value) + bar.unit + missed])
    for note in report["notes"]:
        yield f"\n{note}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
