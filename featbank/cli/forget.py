"""`featbank forget`: take a person out of the workspace, DVC's cache and its remotes."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from featbank.base.printing import print_json, print_note
from featbank.base.sought import Sought
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import FINE, add_command
from featbank.corpora.forgotten import FORGOTTEN
from featbank.errors import ConfigError
from featbank.files.opening import read_regular
from featbank.withdrawal.plan import PLAN, WithdrawalPlan, stopped_plan

_MAX_BYTES = 256 << 20  # of a list of ids
_NAMED = 10
_KEYS = ("what", "where", "number", "outcome")
_NEXT = (
    "commit dvc.lock, conf/forgotten.json and the pinned ids, then type dvc push, which sends what "
    "was made anew"
)


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "take a person or utterances out of all; shows first what it would do"
    command = add_command(
        commands,
        "forget",
        text,
        _run,
        examples=("--speaker june_fr", "--speaker june_fr --yes"),
    )
    command.add_argument("ids", nargs="*", metavar="ID", help="of utterances")
    command.add_argument(
        "--speaker", action="append", default=[], metavar="S", help="as manifests name it"
    )
    command.add_argument("--list", type=Path, metavar="FILE", help="of ids, one a line")
    command.add_argument("--yes", action="store_true", help="do it; by default it is only shown")
    command.add_argument(
        "--refit", action="store_true", help="fit codebooks anew that were fitted on the person"
    )
    command.add_argument(
        "--exports", type=Path, action="append", default=[], metavar="DIR",
        help="a folder with exports outside of the project; repeat for several",
    )  # fmt: skip
    command.add_argument(
        "--receipt", type=Path, default=Path("withdrawals"), metavar="FOLDER",
        help="of receipts (withdrawals)",
    )  # fmt: skip


def _run(parsed: argparse.Namespace) -> int:
    sought = _sought(parsed)
    # imported here: it brings in DVC, which other commands do without
    from featbank.pipeline.forgetting import carry_out, plan_withdrawal

    stopped = stopped_plan()
    plan = stopped or plan_withdrawal(sought, refit=parsed.refit, exports=parsed.exports)
    if not parsed.json:
        _show(plan, is_stopped=stopped is not None)
    is_done = parsed.yes and plan.has_work
    receipt = carry_out(plan, parsed.receipt) / "receipt.json" if is_done else None
    if parsed.json:
        print_json({**asdict(plan), "receipt": receipt and str(receipt)})
    elif receipt:
        print_note(f"done; the receipt is {receipt.with_suffix('.html')}")
        print_note(_NEXT)
    elif not plan.has_work:
        print_note("nothing is left for this command to do")
    else:
        print_note("nothing is changed yet: --yes does it")
    return FINE


def _sought(parsed: argparse.Namespace) -> Sought:
    ids = [*parsed.ids]
    if parsed.list is not None:
        lines = read_regular(parsed.list, _MAX_BYTES).decode(errors="surrogateescape").split("\n")
        ids += [line.rstrip("\r") for line in lines if line.strip()]
    named = [*ids, *parsed.speaker]
    if not named or not all(named):
        raise ConfigError(
            "whom to forget",
            expected="ids, --speaker S or --list FILE",
            got="an empty name" if named else "nobody",
        )
    return Sought(ids=frozenset(ids), speakers=frozenset(parsed.speaker))


def _show(plan: WithdrawalPlan, *, is_stopped: bool) -> None:
    if is_stopped:
        print_note(
            f"a withdrawal that was begun at {plan.begun} is not through, and comes first; --yes "
            "goes on with it:"
        )
    if plan.ids:
        print_note(f"{len(plan.ids):,} utterances: {_named(plan.ids)}")
    if plan.unknown:
        print_note(f"nothing holds {_named(plan.unknown)}")
    if plan.has_work:
        rows = (dict(zip(_KEYS, row, strict=True)) for row in _table(plan))
        print_table([TableColumn(key=key, is_number=key == "number") for key in _KEYS], rows)
    if plan.cut:
        print_note("revisions that can no longer be pulled whole:")
        for one in plan.cut:
            print_note(f"  {one.commit[:12]} {' '.join(one.names)}".rstrip())
    if plan.yours:
        print_note("files of yours that hold them, for you to delete or mend:")
        for path in plan.yours:
            print_note(f"  {path}")
    print_note("not reached:")
    for left in plan.unreached:
        print_note(f"  {left.what}: {left.why}")


def _table(plan: WithdrawalPlan) -> Iterator[Sequence[str]]:
    deleted = Counter((one.kind, one.place) for one in plan.deletions)
    for (kind, place), number in sorted(deleted.items()):
        yield (kind, place, f"{number:,}", "deleted")
    if plan.work_files:
        yield ("records, unfinished runs", str(PLAN.parent), f"{len(plan.work_files):,}", "removed")
    for path in plan.pins:
        yield ("pinned ids", path, "1", "taken out of it")
    for path in plan.remade:
        yield ("output", path, "1", "made anew")
    for path in plan.codebooks:
        yield ("codebook", path, "1", "fitted anew" if plan.refit else "kept: --refit fits it anew")
    if plan.marks:
        yield ("marks, without names", str(FORGOTTEN), f"{len(plan.marks):,}", "added")
    for path in plan.old_codebooks:
        yield ("codebook", path, "1", "of other revisions: kept")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
