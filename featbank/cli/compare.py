"""`featbank compare`: the choices of each corpus side by side, as they were validated."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featbank.base.nearest import did_you_mean
from featbank.base.printing import on_terminal, print_json
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import FINE, add_command
from featbank.cli.validated import REPORTS
from featbank.errors import FeatbankError
from featbank.files.json_files import read_json
from featbank.report.side_by_side import COLUMNS, COMPARED, Column, best_of, in_tables

_HINT = "run python stages/validate.py, from the root of the project"

Compared = Mapping[str, Mapping[str, float]]


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "choices side by side: units, phones, speakers, stability"
    columns = "\n".join(f"  {one.title}: {one.means}" for one in COLUMNS)
    command = add_command(
        commands,
        "compare",
        text,
        _run,
        examples=("", "demo --json"),
        more=f"{columns}\n\n* marks the best. `dvc exp show` has the same numbers of experiments.",
    )
    command.add_argument(
        "corpora",
        nargs="*",
        metavar="CORPUS",
        help="a name; all that have a report where none is given",
    )


def _run(parsed: argparse.Namespace) -> int:
    tables = {corpus: compared_choices(corpus) for corpus in parsed.corpora or _corpora()}
    if parsed.json:
        print_json(tables)
    elif on_terminal():
        _draw(tables)
    else:
        keys = ("corpus", "choice", *(one.key for one in COLUMNS))
        rows = (
            {"corpus": corpus, "choice": name, **row}
            for corpus, table in tables.items()
            for name, row in table.items()
        )
        print_table([TableColumn(key=key) for key in keys], rows)
    return FINE


def _draw(tables: Mapping[str, Compared]) -> None:
    for corpus, table in tables.items():
        best = best_of(table)
        for columns, rows in in_tables(table):
            drawn = [TableColumn(key=one.key, heading=one.title, is_number=True) for one in columns]
            cells = (
                {one.key: _cell(one, row, best=(name, one.key) in best) for one in columns}
                | {"choice": name}
                for name, row in rows.items()
            )
            print_table([TableColumn(key="choice", heading=corpus), *drawn], cells)


def _cell(column: Column, row: Mapping[str, float], *, best: bool) -> str:
    return f"{'*' if best else ''}{column.told(row.get(column.key))}"


def compared_choices(corpus: str) -> Compared:
    """Read the measures of the choices of a corpus, by choice.

    Raises:
        FeatbankError: they are not there, or are none.
    """
    path = REPORTS / corpus / "metrics.json"
    if not path.is_file() and (near := did_you_mean(corpus, _reported())):
        raise FeatbankError(f"metrics {path}", expected="a file", got="nothing there", hint=near)
    found = read_json(path, what="metrics", error=FeatbankError, hint=_HINT).get(COMPARED)
    if not isinstance(found, dict) or not all(
        isinstance(row, dict) and all(type(one) in (int, float) for one in row.values())
        for row in found.values()
    ):
        raise FeatbankError(
            f"metrics {path}", expected=f"{COMPARED}, a row a choice", got="none", hint=_HINT
        )
    return found


def _corpora() -> list[str]:
    found = _reported()
    if not found:
        place = Path(REPORTS).resolve()
        raise FeatbankError(
            f"reports in {place}", expected="a metrics.json", got="none", hint=_HINT
        )
    return found


def _reported() -> list[str]:
    return sorted(path.parent.name for path in REPORTS.glob("*/metrics.json"))
