"""`featbank check`: list all that is wrong with params.yaml, conf/ and dvc.yaml."""

from __future__ import annotations

import argparse
from typing import Any

from featbank.base.printing import print_line


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "all that is wrong with params.yaml, conf/ and dvc.yaml"
    command = commands.add_parser("check", help=text, description=text)
    command.set_defaults(run=_run)


def _run(_arguments: argparse.Namespace) -> int:
    # imported here: it brings in Hydra and DVC, which other commands do without
    from featbank.pipeline.checking import all_faults

    faults = all_faults()
    for fault in faults:
        print_line(f"{type(fault).__name__}: {fault}")
    if not faults:
        print_line("params.yaml, conf/ and dvc.yaml go together")
    return 1 if faults else 0
