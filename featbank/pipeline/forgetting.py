"""Forgetting: a withdrawal carried out, in an order that holds.

Twins of revisions come first, and until they are whole nothing else has changed. Then the plan is
on the disk, then marks and pinned ids, the workspace made anew, and only when that is whole is
anything deleted: rows of others are copied out of the very objects that go. Each step may be done
twice, so that one that was killed begins anew and ends the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from featbank.base.sought import Sought
from featbank.corpora.forgotten import FORGOTTEN, read_forgotten
from featbank.pipeline.dvc_deletion import delete_objects, refuse_added, without_named
from featbank.pipeline.dvc_remaking import refuse_stale, remake
from featbank.pipeline.holders import EXPORT, GIT, find_holdings
from featbank.pipeline.holdings import Holdings
from featbank.pipeline.named_outputs import WORKSPACE
from featbank.pipeline.twin_making import make_twins
from featbank.pipeline.withdrawing import now_utc
from featbank.withdrawal.plan import PLAN, NotReached, WithdrawalPlan
from featbank.withdrawal.receipt import receipt_of, write_receipt
from featbank.withdrawal.redaction import (
    is_scan_memory,
    joined_marks,
    redact_pins,
    redact_scans,
    refuse_empty,
    write_forgotten,
)

_YOURS = "files that no stage makes hold them still, such as audio and tables: delete or mend them"
_AGAIN = (
    "files or objects were found again: something was made or sent meanwhile; type the same again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A withdrawal that is through.

    Args:
        receipt: the file.
        left: what holds the person still, of all that it looked at in the end.
    """

    receipt: Path
    left: tuple[NotReached, ...]


def carry_out(plan: WithdrawalPlan, receipts: Path) -> Carried:
    """Do what a plan says, and write its receipt.

    Args:
        plan: new, or that of a withdrawal that was stopped.
        receipts: folder of all receipts.

    Raises:
        ConfigError: the workspace is not as `dvc.lock` has it, holds the person in an output that
            no stage makes, a list of pinned ids would be empty, or the marks are of another salt
            by now. Nothing was changed.
        FeatbankError: DVC does not make the workspace anew. Nothing was deleted.
        StoreError: some objects are not deleted.
    """
    pins = [Path(one) for one in plan.pins]
    if not PLAN.exists():
        refuse_stale()
        refuse_added(plan.deletions)
        refuse_empty(pins, plan.ids)
        plan = replace(plan, twins=make_twins(plan))
        plan.save()
    write_forgotten(FORGOTTEN, joined_marks(read_forgotten(FORGOTTEN), plan.forgotten))
    for path in pins:
        redact_pins(path, plan.ids)
    audio = {one for paths in plan.audio.values() for one in paths}
    for path in map(Path, plan.work_files):
        if is_scan_memory(path):
            redact_scans(path, audio)
        else:
            path.unlink(missing_ok=True)
    remake(plan.codebooks, refit=plan.refit)
    plan = replace(plan, deletions=tuple(without_named(plan.deletions)))
    kept = delete_objects(plan.deletions)
    holdings = find_holdings(Sought(ids=frozenset(plan.ids)))
    left = (*kept, *_left(plan, holdings))
    receipt = receipt_of(plan, finished=now_utc(), unreached=(*plan.unreached, *left))
    folder = write_receipt(receipt, receipts)
    PLAN.unlink(missing_ok=True)  # of two that went on with it at once
    return Carried(receipt=folder / "receipt.json", left=left)


def _left(plan: WithdrawalPlan, holdings: Holdings) -> Iterator[NotReached]:
    """Say what still holds the person, without a name."""
    left = [
        one
        for one in holdings.found
        if one.why == "holds" and one.is_sure and Path(one.path) != PLAN
    ]
    # without its row in a manifest, nobody can tell whose audio a file is
    yours = {one.path for one in left if one.place == WORKSPACE}
    yours |= {path for path in plan.yours if Path(path).exists()}
    if yours:
        yield NotReached(what=WORKSPACE, why=f"{len(yours)} {_YOURS}")
    for place, number in Counter(one.place for one in left).items():
        if place not in (WORKSPACE, GIT, EXPORT):
            yield NotReached(what=place, why=f"{number} {_AGAIN}")
