"""`python -m featbank`: what has been computed, for people."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from featbank.errors import FeatbankError

REPORTS = Path("reports")
RECORDS = Path(".featbank", "runs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="featbank", description="Speech features and tokens.")
    commands = parser.add_subparsers(dest="command", required=True)
    summary = commands.add_parser("summary", help="every store that was validated, in one table")
    summary.add_argument("--json", action="store_true", help="for programs")
    parsed = parser.parse_args(arguments)
    try:
        return _summary(as_json=parsed.json)
    except FeatbankError as error:
        Console(stderr=True).print(
            f"{type(error).__name__}: {error}", highlight=False, markup=False
        )
        return 1


def _summary(*, as_json: bool) -> int:
    corpora = sorted(path.parent for path in REPORTS.glob("*/metrics.json"))
    if not corpora:
        raise FeatbankError(
            f"reports in {REPORTS.resolve()}",
            expected="a metrics.json a corpus",
            got="none",
            hint="run dvc repro, from the root of the project",
        )
    stores = [store for corpus in corpora for store in read_stores(corpus)]
    if as_json:
        json.dump(stores, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return 0
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(_table(stores))
    for corpus in corpora:
        console.print(f"report: {corpus / 'report.html'}", highlight=False, soft_wrap=True)
    return 0


def read_stores(report: Path) -> Iterator[dict[str, Any]]:
    """Give a row for each feature name: sums over its splits, and its speed here if known.

    Args:
        report: folder with a metrics.json.
    """
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    for kind in ("features", "tokens"):
        for option, names in metrics.get(kind, {}).items():
            for name, splits in names.items():
                row: dict[str, Any] = {"store": f"data/{kind}/{report.name}/{option}/{name}"}
                for number in ("utterances", "hours", "frames", "bytes"):
                    row[number] = sum(split.get(number, 0) for split in splits.values())
                row["real_time_factor"] = _speed(RECORDS / kind / report.name / f"{option}.json")
                yield row


def _speed(record: Path) -> float | None:
    if not record.is_file():  # pulled, or computed on another machine
        return None
    measured: Mapping[str, float] = json.loads(record.read_text(encoding="utf-8"))
    return measured["audio_s"] / measured["seconds"]


def _table(stores: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("store")
    for heading in ("utterances", "hours", "frames", "MB", "x real time"):
        table.add_column(heading, justify="right")
    for row in stores:
        speed = row["real_time_factor"]
        table.add_row(
            row["store"],
            f"{row['utterances']:,}",
            f"{row['hours']:,.2f}",
            f"{row['frames']:,}",
            f"{row['bytes'] / 1e6:,.1f}",
            "-" if speed is None else f"{speed:,.0f}",
        )
    return table
