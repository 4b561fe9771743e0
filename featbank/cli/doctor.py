"""`featbank doctor`: what this machine has, and what will be slow or not work."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from featbank.base.printing import print_json
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import FINE, FOUND, add_command
from featbank.machine.folders import folder_facts
from featbank.machine.hardware import hardware_facts
from featbank.machine.packages import package_facts
from featbank.machine.programs import program_facts

_COLUMNS = (
    TableColumn(key="what"),
    TableColumn(key="value"),
    TableColumn(key="verdict"),
    TableColumn(key="hint", heading="what to do"),
    TableColumn(key="is_needed", heading="needed"),
)


def add_to(commands: Any) -> None:
    """Add the command."""
    add_command(
        commands,
        "doctor",
        "what this machine has, and what will be slow or not work",
        _run,
        examples=("", "--json"),
        more="It changes nothing, and exits with 1 if what every pipeline needs is missing.",
    )


def _run(parsed: argparse.Namespace) -> int:
    project = Path()
    facts = [
        *package_facts(),
        *hardware_facts(),
        *program_facts(),
        *folder_facts(project, _caches(project)),
    ]
    facts.sort(key=lambda one: one.verdict != "ok")  # what there is to do, last: it stays in sight
    rows = [asdict(one) for one in facts]
    if parsed.json:
        print_json({"facts": rows})
    else:
        print_table(_COLUMNS, rows, hidden=("is_needed",))
    return FOUND if any(one.ends_pipelines for one in facts) else FINE


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
