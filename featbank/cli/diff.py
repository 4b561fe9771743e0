"""`featbank diff A B`: how two versions of stores differ: their rows, values and origins."""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from featbank import PROGRAM
from featbank.base.printing import (
    at_least,
    on_terminal,
    print_json,
    print_line,
    print_note,
)
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import MISTYPED, add_command
from featbank.comparison.comparing import compare_versions
from featbank.comparison.findings import RowCounts, VersionsDifference
from featbank.comparison.folders import refuse_unlike, version_at
from featbank.errors import ConfigError, StoreError
from featbank.files.provenance import write_atomic
from featbank.pipeline.comparing_revisions import compare_revisions
from featbank.report.differences import difference_tables, verdict
from featbank.store.remote.elsewhere import is_url

SAME, DIFFERENT, TROUBLE = 0, 1, MISTYPED
"""Exit statuses, as those of `diff`."""


def add_to(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands,
        "diff",
        "how two versions of stores differ: their rows, values and origins",
        _run,
        examples=("HEAD --path data/features/demo", "earlier/fbank data/features/demo/fbank"),
        more="Exits with 0 if nothing differs, 1 if something does, 2 if something could not be "
        "read or the arguments make no sense.",
        trouble=TROUBLE,
    )
    command.add_argument(
        "before",
        metavar="A",
        help="a store, a folder of stores or a URL; or a git revision, or A..B, two of them",
    )
    command.add_argument(
        "after",
        metavar="B",
        nargs="?",
        help="likewise; of git revisions, what dvc.lock says now where it is left out",
    )
    command.add_argument(
        "--path",
        default="",
        metavar="PATH",
        help="of git revisions: compare this output of DVC, or what lies below it (all)",
    )
    command.add_argument(
        "--remote",
        metavar="NAME",
        help="of git revisions: where to look for what DVC's cache lacks (the default remote)",
    )
    command.add_argument(
        "--limit",
        type=at_least(0),
        default=10,
        metavar="N",
        help="name at most N utterances of a store for each kind of change (10); 0: all",
    )
    command.add_argument("--page", type=Path, metavar="FILE.html", help="write a page, too")


def _run(parsed: argparse.Namespace) -> int:
    found = _compared(parsed)
    if parsed.page:
        # imported here: only a page needs templates
        from featbank.report.differences_page import render_differences

        write_atomic(parsed.page, render_differences(found))
    if parsed.json:
        print_json(asdict(found))
    elif on_terminal():
        _print(found)
    else:
        rows = ({"store": one.path or ".", **asdict(one.rows)} for one in found.stores)
        keys = ("store", *(one.name for one in fields(RowCounts)))
        print_table([TableColumn(key=key) for key in keys], rows)
        print_note(verdict(found))
    if found.all_problems:
        return TROUBLE
    return SAME if found.is_same else DIFFERENT


def _compared(parsed: argparse.Namespace) -> VersionsDifference:
    before, after, limit = parsed.before, parsed.after, parsed.limit or None
    if before.count("..") == 1 and "..." not in before and after is None and not _is_place(before):
        before, _, after = before.partition("..")
        if not before or not after:
            raise ConfigError(
                f"revisions {parsed.before}", expected="two, such as main..mine", got="one"
            )
    places = [_is_place(one) for one in (before, after) if one is not None]
    if not any(places):
        try:
            return compare_revisions(
                before, after, path=parsed.path, remote=parsed.remote, limit=limit
            )
        except StoreError as error:
            error.hint = error.hint or "no folder or file of that name is here, either"
            raise
    if len(places) < 2 or not all(places):
        raise ConfigError(
            f"{before} and {after or 'nothing'}",
            expected="two folders or URLs, or git revisions alone",
            got="a folder and a revision" if len(places) > 1 else "one folder",
            hint=f"{PROGRAM} diff REVISION --path FOLDER, for what a revision has there",
        )
    if parsed.path or parsed.remote:
        raise ConfigError("--path and --remote", expected="git revisions", got="folders")
    versions = version_at(before), version_at(after)
    refuse_unlike(*versions)
    return compare_versions(*versions, limit=limit)


def _is_place(text: str) -> bool:
    """Tell a folder, a file or a URL from a revision."""
    return is_url(text) or Path(text).exists()


def _print(found: VersionsDifference) -> None:
    print_line(f"{found.before} -> {found.after}")
    for table in difference_tables(found):
        columns = [TableColumn(key=key, is_number=one) for key, one in table.columns.items()]
        rows = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
        print_table(columns, rows, table.title)
    for path in found.others:
        print_line(f"differs, and is no store: {path}")
    for problem in found.all_problems:
        print_line(f"not read: {problem}")
    print_line(verdict(found))
