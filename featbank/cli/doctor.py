"""`featbank doctor`: what this machine has, and what will be slow or not work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from featbank.base.printing import print_json, print_table, printable
from featbank.machine.fact import MachineFact
from featbank.machine.folders import folder_facts
from featbank.machine.hardware import hardware_facts
from featbank.machine.packages import package_facts
from featbank.machine.programs import program_facts


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "what this machine has, and what will be slow or not work; exits with 1 if something "
    text += "that every pipeline needs is missing"
    command = commands.add_parser("doctor", help=text, description=text)
    command.add_argument("--json", action="store_true", help="as JSON")
    command.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    project = Path()
    facts = [
        *package_facts(),
        *hardware_facts(),
        *program_facts(),
        *folder_facts(project, _caches(project)),
    ]
    _print_json(facts) if parsed.json else _print(facts)
    return 1 if any(one.ends_pipelines for one in facts) else 0


def _caches(project: Path) -> Sequence[Path]:
    """Return the folders of DVC's cache; none outside of a project."""
    if not (project / ".dvc").is_dir():
        return ()
    try:
        # imported here: it takes DVC a second
        from featbank.pipeline.dvc_outputs import cache_folders
    except ImportError:  # which is among the facts
        return ()
    return cache_folders()


def _print_json(facts: Sequence[MachineFact]) -> None:
    print_json({"facts": [asdict(one) for one in facts]})


def _print(facts: Sequence[MachineFact]) -> None:
    columns = ("what", "value", "verdict", "next")
    rows = [(one.what, one.value, one.verdict, one.hint) for one in facts]
    if sys.stdout.isatty():
        print_table(dict.fromkeys(columns, False), rows)
        return
    for row in (columns, *rows):
        sys.stdout.write("\t".join(map(printable, row)) + "\n")
