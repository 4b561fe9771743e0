"""`featbank compare`: the choices of each corpus side by side, as they were validated."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featbank.base.printing import print_json, print_table
from featbank.cli.validated import REPORTS
from featbank.errors import FeatbankError
from featbank.files.json_files import read_json
from featbank.report.side_by_side import COLUMNS, COMPARED, Column, best_of, in_tables

_HINT = "run python stages/validate.py, from the root of the project"

Compared = Mapping[str, Mapping[str, float]]


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "choices side by side: units, phones, speakers, stability; * marks the best"
    columns = "\n".join(f"  {one.title}: {one.means}" for one in COLUMNS)
    command = commands.add_parser(
        "compare",
        help=text,
        description=f"{text}\n\n{columns}\n\n`dvc exp show` has the same numbers of experiments.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("corpus", nargs="*", help="names; all that have a report where none is")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    tables = {corpus: compared_choices(corpus) for corpus in parsed.corpus or _corpora()}
    if parsed.json:
        print_json(tables)
        return 0
    for corpus, table in tables.items():
        best = best_of(table)
        for columns, rows in in_tables(table):
            print_table(
                {corpus: False, **{one.title: True for one in columns}},
                (
                    [name, *(_cell(one, row, best=(name, one.key) in best) for one in columns)]
                    for name, row in rows.items()
                ),
            )
    return 0


def _cell(column: Column, row: Mapping[str, float], *, best: bool) -> str:
    return f"{'*' if best else ''}{column.told(row.get(column.key))}"


def compared_choices(corpus: str) -> Compared:
    """Read the measures of the choices of a corpus, by choice.

    Raises:
        FeatbankError: they are not there, or are none.
    """
    path = REPORTS / corpus / "metrics.json"
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
    found = sorted(path.parent.name for path in REPORTS.glob("*/metrics.json"))
    if not found:
        place = Path(REPORTS).resolve()
        raise FeatbankError(
            f"reports in {place}", expected="a metrics.json", got="none", hint=_HINT
        )
    return found
