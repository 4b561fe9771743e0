"""`featbank check`: list all that is wrong with params.yaml, conf/ and dvc.yaml."""

from __future__ import annotations

import argparse
from typing import Any

from featbank.base.printing import on_terminal, print_json, print_line, print_note
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import FINE, FOUND, add_command


def add_to(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands,
        "check",
        "all that is wrong with params.yaml, conf/ and dvc.yaml",
        _run,
        examples=("", "--all"),
        more="Without torch, all but the arguments of extractors is checked.",
    )
    command.add_argument(
        "--all", action="store_true",
        help="hold features that are not chosen against their extractors, too, which imports these",
    )  # fmt: skip


def _run(parsed: argparse.Namespace) -> int:
    # imported here: it brings in Hydra and DVC, which other commands do without
    from featbank.pipeline.checking import check_project

    found = check_project(with_unchosen=parsed.all)
    rows = [{"error": type(fault).__name__, "message": str(fault)} for fault in found.faults]
    if parsed.json:
        print_json({"faults": rows, "unchecked": [*found.unchecked]})
    elif on_terminal():
        for row in rows:
            print_line(f"{row['error']}: {row['message']}")
    else:
        print_table([TableColumn(key="error"), TableColumn(key="message")], rows)
    if not parsed.json:
        if not rows:
            print_note("params.yaml, conf/ and dvc.yaml go together")
        if number := len(found.unchecked):
            what = f"{number} extractor{'s' if number > 1 else ''}"
            print_note(f"not checked: the arguments of {what} (torch is not installed)")
    return FOUND if rows else FINE
