"""What a withdrawal is to do in a project of DVC: found, and said before anything is changed."""

from __future__ import annotations

import secrets
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
from featbank.pipeline.dvc_deletion import CACHE, REMOTE
from featbank.pipeline.dvc_remote import file_md5
from featbank.pipeline.holders import EXPORT, GIT, WORK, find_holdings
from featbank.pipeline.holdings import Holding, Holdings
from featbank.pipeline.manifest_rows import rows_of_manifest
from featbank.pipeline.named_outputs import WORKSPACE
from featbank.pipeline.twins import plan_twins
from featbank.withdrawal.plan import (
    PLAN,
    CutRevision,
    Deletion,
    KeptRevision,
    NotReached,
    WithdrawalPlan,
)
from featbank.withdrawal.receipt import HiddenNames

_IN_GIT = (
    "files of old commits hold them still, such as pinned ids, reports and audio: rewrite the "
    "history with git filter-repo where they must go"
)
_UNSURE = "have a text with such a number or short word, which may be anything"
_KEPT = ", and revisions that do not hold them name it, or none does: it is kept"
_LISTED = ": featbank where lists them"
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
    holdings = find_holdings(replace(sought, same_audio=True), exports=exports)
    ids = frozenset(holdings.ids)
    if not holdings.found:
        raise ConfigError(
            "whom to forget",
            expected="somebody that something holds",
            got="nobody",
            hint="who was forgotten already is found no more",
        )
    own = [(corpus, row) for corpus, row in _rows(holdings) if row.id in ids]
    marks = {empty.mark_of_audio(row) for _, row in own} | set(_marks_of_names(empty, sought, own))
    found = {name for _, row in own for name in origins(row.speaker)}
    unknown = sought.ids.difference(*(origins(one) for one in ids)) | (sought.speakers - found)
    plan = _planned(
        holdings, own, sorted(marks - there.marks), empty.salt, sorted(unknown), refit=refit
    )
    whole = replace(sought, ids=ids)
    return replace(plan, twins=plan_twins(keep, holdings, whole))


def _planned(
    holdings: Holdings,
    rows: Sequence[tuple[str, Utterance]],
    marks: Sequence[str],
    salt: str,
    unknown: Sequence[str],
    *,
    refit: bool,
) -> WithdrawalPlan:
    going, maybe = deletable(holdings.found)
    hide = HiddenNames({*holdings.ids, *(row.speaker for _, row in rows)})
    here = [one for one in holdings.found if one.place == WORKSPACE and one.why == "holds"]
    yours = [one for one in here if not one.output and one.kind != "pins"]
    books = [one for one in holdings.found if one.kind == "codebook" and one.why == "fitted"]
    stays = [one for one in books if one.place == WORKSPACE and not refit]
    current = {file_md5(Path(one.path)) for one in stays}
    cut = {revision for one in going for revision in one.revisions if revision != WORKSPACE}
    audio: dict[str, set[str]] = {}
    for corpus, row in rows:
        audio.setdefault(corpus, set()).add(row.audio)
    return WithdrawalPlan(
        begun=now_utc(),
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
                is_sure=one.is_sure,
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
        yours=_paths(one for one in yours if one.is_sure),
        unreached=(
            *_unchanged(holdings, GIT, _IN_GIT),
            *_unchanged(holdings, EXPORT, _EXPORTED),
            *_unsure("objects of DVC", maybe, _KEPT),
            *_unsure(WORKSPACE, [one for one in yours if not one.is_sure], _LISTED),
            *(NotReached(what=hide(one.place), why=hide(one.why)) for one in holdings.unreached),
        ),
    )


def deletable(found: Sequence[Holding]) -> tuple[list[Holding], list[Holding]]:
    """Return the objects of DVC that are to go, and those that are kept for a doubt.

    A number or a short word in a text may be anything: such an object goes where each revision
    that names it holds the person for sure. So one that never did stays whole.

    Args:
        found: all that holds the person.
    """
    stored = [
        one
        for one in found
        if one.why == "holds" and (one.place == CACHE or one.place.startswith(REMOTE))
    ]
    sure = {revision for one in stored if one.is_sure for revision in one.revisions}
    named: dict[str, set[str]] = {}
    for one in stored:
        named.setdefault(one.digest, set()).update(one.revisions)
    theirs = {
        digest
        for digest, revisions in named.items()
        if revisions and revisions <= sure  # a number in an object of no revision says nothing
    }
    going = [one for one in stored if one.is_sure or one.digest in theirs]
    return going, [one for one in stored if not (one.is_sure or one.digest in theirs)]


def _unsure(what: str, maybe: Sequence[Holding], why: str) -> Iterator[NotReached]:
    if number := len({one.digest or one.path for one in maybe}):
        yield NotReached(what=what, why=f"{number} {_UNSURE}{why}")


def _unchanged(holdings: Holdings, place: str, why: str) -> Iterator[NotReached]:
    found = {(one.path, one.digest) for one in holdings.found if one.place == place and one.is_sure}
    if number := len(found):
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


def now_utc() -> str:
    """Return the time as plans and receipts have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
