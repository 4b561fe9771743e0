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
from featbank.withdrawal.plan import PLAN, KeptRevision, Twin, WithdrawalPlan, stopped_plan

_MAX_BYTES = 256 << 20  # of a list of ids
_NAMED = 10
_KEYS = ("what", "where", "number", "outcome")
_COLUMNS = [
    TableColumn(key=key, is_number=key == "number", show="{:,}".format if key == "number" else str)
    for key in _KEYS
]
_NEXT = (
    "commit dvc.lock, conf/forgotten.json and the pinned ids, then type dvc push, which sends what "
    "was made anew"
)


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "take a person or utterances out of all; a look comes first"
    command = add_command(
        commands,
        "forget",
        text,
        _run,
        examples=("--speaker june_fr", "--speaker june_fr --keep v1.0 --yes"),
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
        "--keep", action="append", default=[], metavar="REV[=TAG]",
        help="first write a twin of a revision, without the person, under the tag REV-redacted, "
        "or TAG; repeat for several",
    )  # fmt: skip
    command.add_argument(
        "--exports", type=Path, action="append", default=[], metavar="DIR",
        help="a folder with exports outside of the project; repeat for several",
    )  # fmt: skip
    command.add_argument(
        "--receipt", type=Path, default=Path("withdrawals"), metavar="FOLDER",
        help="of receipts (withdrawals)",
    )  # fmt: skip


def _run(parsed: argparse.Namespace) -> int:
    sought, keep = _sought(parsed), _keep(parsed.keep)
    # imported here: it brings in DVC, which other commands do without
    from featbank.pipeline.forgetting import carry_out
    from featbank.pipeline.withdrawing import plan_withdrawal

    stopped = stopped_plan()
    plan = stopped or plan_withdrawal(
        sought,
        refit=parsed.refit,
        exports=parsed.exports,
        keep=keep,
    )
    if stopped:
        print_note(
            f"a withdrawal that was begun at {plan.begun} is not through, and comes first; --yes "
            "goes on with it, and not with what is typed here:"
        )
    if not parsed.json:
        _show(plan)
    is_done = parsed.yes and plan.has_work
    done = carry_out(plan, parsed.receipt) if is_done else None
    if parsed.json:
        print_json(
            {
                **asdict(plan),
                "is_stopped": stopped is not None,
                "receipt": done and str(done.receipt),
                "left": [asdict(one) for one in done.left] if done else [],
            }
        )
    elif done:
        _list("left:", [f"{one.what}: {one.why}" for one in done.left])
        print_note(f"done; the receipt is {done.receipt.with_suffix('.html')}")
        print_note(_NEXT)
        for twin in plan.twins:
            print_note(f"git push origin {twin.tag} sends the twin of {twin.revision}")
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


def _keep(given: Sequence[str]) -> list[KeptRevision]:
    """Return the revisions that are to have a twin, with the tag of each."""
    pairs = [one.partition("=") for one in given]
    found = [KeptRevision(revision=one, tag=tag or f"{one}-redacted") for one, _, tag in pairs]
    if not all(one.revision for one in found) or len({one.tag for one in found}) < len(found):
        raise ConfigError(
            "--keep", expected="revisions, each once, as v1.0 or v1.0=v1.0-r1", got=" ".join(given)
        )
    return found


def _show(plan: WithdrawalPlan) -> None:
    if plan.ids:
        print_note(f"{len(plan.ids):,} utterances: {_named(plan.ids)}")
    counts = [f"{corpus} ({len(paths):,})" for corpus, paths in plan.audio.items() if corpus]
    if len(counts) > 1:
        print_note(
            f"they are in several corpora, by files: {', '.join(counts)}; an id or a speaker of "
            "one may be somebody else in another: look before --yes"
        )
    if plan.unknown:
        print_note(f"no utterance is found of {_named(plan.unknown)}")
    rows = (dict(zip(_KEYS, row, strict=True)) for row in (_table(plan) if plan.has_work else ()))
    print_table(_COLUMNS, rows)
    cut = [f"{one.commit[:12]} {' '.join(one.names)}".rstrip() for one in plan.cut]
    _list("revisions that can no longer be pulled whole:", cut)
    for twin in plan.twins:
        _show_twin(twin)
    _list("files of yours that hold them, for you to delete or mend:", plan.yours)
    _list("not reached:", [f"{left.what}: {left.why}" for left in plan.unreached])


def _list(heading: str, entries: Sequence[str]) -> None:
    if entries:
        print_note(heading)
        for one in entries:
            print_note(f"  {one}")


def _show_twin(twin: Twin) -> None:
    if twin.made:
        print_note(f"its twin {twin.tag} is there: {twin.made[:12]} of {twin.commit[:12]}")
        return
    print_note(
        f"twin {twin.tag} of {twin.revision}, {twin.commit[:12]}: {twin.num_kept:,} objects stay, "
        f"in place of {twin.num_new:,} others come, or none; sent to "
        f"{', '.join(twin.remotes) or 'no remote, for there is none'}"
    )
    for what, paths in (
        ("not in it, for they name the person (dvc repro makes them anew)", twin.dropped),
        ("in it as they were fitted", twin.codebooks),
        ("files of git that stay in it as they are, though they name the person", twin.left),
    ):
        if paths:
            print_note(f"  {what}: {_named(paths)}")


def _table(plan: WithdrawalPlan) -> Iterator[tuple[str, str, int, str]]:
    deleted = Counter((one.kind, one.place) for one in plan.deletions)
    for (kind, place), number in sorted(deleted.items()):
        yield (kind, place, number, "deleted")
    if plan.work_files:
        yield ("records, unfinished runs", str(PLAN.parent), len(plan.work_files), "removed")
    for path in plan.pins:
        yield ("pinned ids", path, 1, "taken out of it")
    for path in plan.remade:
        yield ("output", path, 1, "made anew")
    for path in plan.codebooks:
        yield ("codebook", path, 1, "fitted anew" if plan.refit else "kept: --refit fits it anew")
    if plan.marks:
        yield ("marks, without names", str(FORGOTTEN), len(plan.marks), "added")
    for path in plan.old_codebooks:
        yield ("codebook", path, 1, "of other revisions: kept")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
