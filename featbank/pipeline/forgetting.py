"""Forgetting: what a withdrawal is to do in a project of DVC, and doing it, in an order that holds.

Twins of revisions come first, and until they are whole nothing else has changed. Then the plan is
on the disk, then marks and pinned ids, the workspace made anew, and only when that is whole is
anything deleted: rows of others are copied out of the very objects that go. Each step may be done
twice, so that one that was killed begins anew and ends the same.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from featbank.base.label_forms.variants import origins
from featbank.base.manifest import Utterance
from featbank.base.sought import Sought
from featbank.corpora.forgotten import FORGOTTEN, Forgotten, read_forgotten
from featbank.errors import ConfigError
from featbank.pipeline.choices import read_choices
from featbank.pipeline.dvc_deletion import (
    CACHE,
    REMOTE,
    delete_objects,
    refuse_added,
    refuse_named,
)
from featbank.pipeline.dvc_remaking import refuse_stale, remake
from featbank.pipeline.dvc_remote import file_md5
from featbank.pipeline.holders import EXPORT, GIT, WORK, find_holdings
from featbank.pipeline.holdings import Holding, Holdings
from featbank.pipeline.manifest_rows import rows_of_manifest
from featbank.pipeline.named_outputs import WORKSPACE
from featbank.pipeline.twin_making import make_twin
from featbank.pipeline.twins import plan_twin
from featbank.withdrawal.plan import (
    PLAN,
    CutRevision,
    Deletion,
    KeptRevision,
    NotReached,
    WithdrawalPlan,
)
from featbank.withdrawal.receipt import receipt_of, write_receipt
from featbank.withdrawal.redaction import (
    is_scan_memory,
    redact_pins,
    redact_scans,
    refuse_empty,
    write_forgotten,
)

_IN_GIT = (
    "files of old commits hold them still, such as pinned ids, reports and audio: rewrite the "
    "history with git filter-repo where they must go"
)
_YOURS = "files that no stage makes hold them still, such as audio and tables: delete or mend them"
_EXPORTED = "files of exports hold them, or were made from what does: make these anew"


def plan_withdrawal(
    sought: Sought, *, refit: bool, exports: Sequence[Path] = (), keep: Sequence[KeptRevision] = ()
) -> WithdrawalPlan:
    """Find all that holds a person, and say what is to be done with it; nothing is changed.

    The same audio under another id is the same person: it goes, too.

    Args:
        sought: whom.
        refit: fit the codebooks anew that were fitted on the person.
        exports: folders in which there may be exports.
        keep: revisions that are to have a twin without the person.

    Raises:
        ConfigError: nothing holds the person, this is no project of DVC, or a revision can have no
            twin.
        CorpusError: the marks of the project cannot be read.
        StoreError: a revision can have no twin, for objects of it are nowhere, or too old.
    """
    if not Path("dvc.yaml").is_file():
        raise ConfigError("this folder", expected="that of dvc.yaml", got="another")
    there = read_forgotten(FORGOTTEN)
    empty = Forgotten(salt=there.salt or secrets.token_hex(16))
    while True:
        holdings = find_holdings(sought, exports=exports)
        ids = frozenset(holdings.ids)
        rows = list(_rows(holdings))
        audio_marks = {empty.mark_of_audio(row) for _, row in rows if row.id in ids}
        same = {row.id for _, row in rows if empty.mark_of_audio(row) in audio_marks}
        if same <= ids:
            break
        sought = replace(sought, ids=sought.ids | same)
    if not holdings.found:
        raise ConfigError(
            "whom to forget",
            expected="somebody that something holds",
            got="nobody",
            hint="who was forgotten already is found no more",
        )
    own = [(corpus, row) for corpus, row in rows if row.id in ids]
    marks = audio_marks | set(_marks_of_names(empty, sought, own))
    unknown = sought.ids.difference(*(origins(one) for one in ids))
    plan = _planned(
        holdings, own, sorted(marks - there.marks), empty.salt, sorted(unknown), refit=refit
    )
    whole = replace(sought, ids=ids)
    return replace(plan, twins=tuple(plan_twin(one, holdings, whole) for one in keep))


def carry_out(plan: WithdrawalPlan, receipts: Path) -> Path:
    """Do what a plan says, and write its receipt.

    Args:
        plan: new, or that of a withdrawal that was stopped.
        receipts: folder of all receipts.

    Returns:
        The folder of the receipt.

    Raises:
        ConfigError: the workspace is not as `dvc.lock` has it, holds the person in an output that
            no stage makes, or a list of pinned ids would be empty. Nothing was changed.
        FeatbankError: DVC does not make the workspace anew. Nothing was deleted.
        StoreError: some objects are not deleted.
    """
    pins = [Path(one) for one in plan.pins]
    if not PLAN.exists():
        refuse_stale()
        refuse_added(plan.deletions)
        refuse_empty(pins, plan.ids)
        plan = replace(plan, twins=tuple(make_twin(one, plan) for one in plan.twins))
        plan.save()
    there = read_forgotten(FORGOTTEN)
    write_forgotten(FORGOTTEN, Forgotten(salt=plan.salt, marks=there.marks | set(plan.marks)))
    for path in pins:
        redact_pins(path, plan.ids)
    audio = {one for paths in plan.audio.values() for one in paths}
    for path in map(Path, plan.work_files):
        if is_scan_memory(path):
            redact_scans(path, audio)
        else:
            path.unlink(missing_ok=True)
    remake(plan.codebooks, refit=plan.refit)
    refuse_named(plan.deletions)
    kept = delete_objects(plan.deletions)
    left = find_holdings(Sought(ids=frozenset(plan.ids)))
    unreached = (*plan.unreached, *kept, *_left(plan, left))
    folder = write_receipt(receipt_of(plan, finished=_now(), unreached=unreached), receipts)
    PLAN.unlink()
    return folder


def _planned(
    holdings: Holdings,
    rows: Sequence[tuple[str, Utterance]],
    marks: Sequence[str],
    salt: str,
    unknown: Sequence[str],
    *,
    refit: bool,
) -> WithdrawalPlan:
    stored = [one for one in holdings.found if one.place == CACHE or one.place.startswith(REMOTE)]
    going = [one for one in stored if one.why == "holds"]
    here = [one for one in holdings.found if one.place == WORKSPACE and one.why == "holds"]
    books = [one for one in holdings.found if one.kind == "codebook" and one.why == "fitted"]
    stays = [one for one in books if one.place == WORKSPACE and not refit]
    current = {file_md5(Path(one.path)) for one in stays}
    cut = {revision for one in going for revision in one.revisions if revision != WORKSPACE}
    audio: dict[str, set[str]] = {}
    for corpus, row in rows:
        audio.setdefault(corpus, set()).add(row.audio)
    return WithdrawalPlan(
        begun=_now(),
        ids=holdings.ids,
        unknown=tuple(unknown),
        audio={corpus: tuple(sorted(paths)) for corpus, paths in sorted(audio.items())},
        salt=salt,
        marks=tuple(marks),
        deletions=tuple(
            Deletion(
                place=one.place,
                digest=one.digest,
                kind=one.kind,
                output=one.output,
                is_current=WORKSPACE in one.revisions,
            )
            for one in going
        ),
        work_files=_paths(
            one for one in holdings.found if one.place == WORK and Path(one.path) != PLAN
        ),
        pins=_paths(one for one in here if one.kind == "pins"),
        remade=tuple(sorted({one.output for one in here if one.output})),
        codebooks=tuple(sorted({one.output for one in books if one.place == WORKSPACE})),
        old_codebooks=tuple(
            sorted(
                {
                    f"{one.output} {one.digest}"
                    for one in books
                    if one.place != WORKSPACE and one.digest not in current
                }
            )
        ),
        refit=refit,
        cut=tuple(
            CutRevision(commit=one, names=holdings.names.get(one, ())) for one in sorted(cut)
        ),
        yours=_paths(one for one in here if not one.output and one.kind != "pins"),
        unreached=(
            *_unchanged(holdings, GIT, _IN_GIT),
            *_unchanged(holdings, EXPORT, _EXPORTED),
            *(NotReached(what=one.place, why=one.why) for one in holdings.unreached),
        ),
    )


def _unchanged(holdings: Holdings, place: str, why: str) -> Iterator[NotReached]:
    if number := len({(one.path, one.digest) for one in holdings.found if one.place == place}):
        yield NotReached(what=place, why=f"{number} {why}")


def _paths(found: Iterable[Holding]) -> tuple[str, ...]:
    return tuple(sorted({one.path for one in found}))


def _rows(holdings: Holdings) -> Iterator[tuple[str, Utterance]]:
    """Give the rows of all manifests that hold somebody, each after the name of its corpus."""
    seen = set()
    for one in holdings.found:
        if one.kind == "manifest" and one.num_rows and (one.digest or one.path) not in seen:
            seen.add(one.digest or one.path)
            for row in rows_of_manifest(one):
                yield Path(one.output).name, row


def _marks_of_names(
    empty: Forgotten, sought: Sought, rows: Sequence[tuple[str, Utterance]]
) -> Iterator[str]:
    """Give marks of ids and speakers; of corpora in which there are none, too, if in no other."""
    corpora = {corpus for corpus, _ in rows if corpus} or set(read_choices().corpora)
    for corpus in corpora:
        yield from (empty.mark_of_speaker(corpus, one) for one in sought.speakers)
        yield from (empty.mark_of_id(corpus, one) for one in sought.ids)
    for corpus, row in rows:
        if corpus:
            yield empty.mark_of_id(corpus, row.id)


def _left(plan: WithdrawalPlan, holdings: Holdings) -> Iterator[NotReached]:
    """Say what still holds the person, without a name."""
    left = [one for one in holdings.found if one.why == "holds" and Path(one.path) != PLAN]
    # without its row in a manifest, nobody can tell whose audio a file is
    yours = {one.path for one in left if one.place == WORKSPACE}
    yours |= {path for path in plan.yours if Path(path).exists()}
    if yours:
        yield NotReached(what=WORKSPACE, why=f"{len(yours)} {_YOURS}")
    for place, number in Counter(one.place for one in left).items():
        if place not in (WORKSPACE, GIT, EXPORT):
            yield NotReached(what=place, why=f"{number} files or objects were found again")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
