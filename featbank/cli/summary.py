"""`featbank summary`: every store that was validated, in one table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from featbank.cli.output import print_json, print_line, print_table
from featbank.errors import FeatbankError

REPORTS = Path("reports")
RECORDS = Path(".featbank", "runs")


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "every store that was validated, in one table"
    command = commands.add_parser("summary", help=text, description=text)
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    corpora = sorted(path.parent for path in REPORTS.glob("*/metrics.json"))
    if not corpora:
        raise FeatbankError(
            f"reports in {REPORTS.resolve()}",
            expected="a metrics.json a corpus",
            got="none",
            hint="run dvc repro, from the root of the project",
        )
    stores = [store for corpus in corpora for store in read_stores(corpus)]
    if parsed.json:
        print_json(stores)
        return 0
    columns = {"store": False, "utterances": True, "hours": True, "frames": True, "MB": True}
    print_table({**columns, "x real time": True}, map(_row, stores))
    for corpus in corpora:
        print_line(f"report: {corpus / 'report.html'}")
    return 0


def read_stores(report: Path) -> Iterator[dict[str, Any]]:
    """Give a row for each feature name: sums over its splits, and its speed here if known.

    Args:
        report: folder with a metrics.json.

    Raises:
        FeatbankError: that, or the record of a run, is no JSON object.
    """
    metrics = _read_object(report / "metrics.json")
    for kind in ("features", "tokens"):
        for option, names in metrics.get(kind, {}).items():
            for name, values in names.items():
                splits = [value for value in values.values() if isinstance(value, dict)]
                if not splits:  # a gauge of the option, not a store
                    continue
                row: dict[str, Any] = {"store": f"data/{kind}/{report.name}/{option}/{name}"}
                for number in ("utterances", "hours", "frames", "bytes"):
                    row[number] = sum(split.get(number, 0) for split in splits)
                row["real_time_factor"] = _speed(RECORDS / kind / report.name / f"{option}.json")
                yield row


def _speed(record: Path) -> float | None:
    if not record.is_file():  # pulled, or computed on another machine
        return None
    measured = _read_object(record)
    if not measured["audio_s"]:  # the last run had nothing to compute
        return None
    speed: float = measured["audio_s"] / measured["seconds"]
    return speed


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise FeatbankError(str(path), expected="a JSON object", got=error) from error
    if not isinstance(value, dict):
        raise FeatbankError(str(path), expected="a JSON object", got=type(value).__name__)
    return value


def _row(store: Mapping[str, Any]) -> list[str]:
    speed = store["real_time_factor"]
    return [
        store["store"],
        f"{store['utterances']:,}",
        f"{store['hours']:,.2f}",
        f"{store['frames']:,}",
        f"{store['bytes'] / 1e6:,.1f}",
        "-" if speed is None else f"{speed:,.0f}",
    ]
