"""Compare two versions: their stores by shards, then by rows, so that only what differs is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from featbank.comparison.codebooks import compare_codebooks
from featbank.comparison.findings import (
    CodebookDifference,
    RowCounts,
    RowState,
    StoreDifference,
    VersionsDifference,
)
from featbank.comparison.headers import moved_headers
from featbank.comparison.one_side import OneSide, ShardedStore
from featbank.comparison.tallying import RowTally
from featbank.errors import FeatbankError
from featbank.store import StoreHeader

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What stands in one version.

    Args:
        name: as a person gave it.
        stores: by path; an error where one cannot be opened.
        codebooks: the files, by path, likewise.
    """

    name: str
    stores: Mapping[str, ShardedStore | FeatbankError]
    codebooks: Mapping[str, Path | FeatbankError] = field(default_factory=dict)


def compare_versions(
    before: Version, after: Version, *, limit: int | None = 10
) -> VersionsDifference:
    """Compare what stands at the same paths in two versions.

    Args:
        before: the earlier version.
        after: the later one.
        limit: how many utterances of each store and state are named; None for all, which memory
            then holds.
    """
    problems: list[str] = []
    stores: list[StoreDifference] = []
    codebooks: list[CodebookDifference] = []
    same: list[str] = []
    for path in sorted({*before.stores, *after.stores}):
        one, other = before.stores.get(path), after.stores.get(path)
        errors = [found for found in (one, other) if isinstance(found, FeatbankError)]
        if isinstance(one, FeatbankError) or isinstance(other, FeatbankError):
            problems += map(str, errors)
            continue
        found = compare_stores(path, one, other, limit=limit)
        same.append(path) if found.is_same else stores.append(found)
    for path in sorted({*before.codebooks, *after.codebooks}):
        one_file, other_file = before.codebooks.get(path), after.codebooks.get(path)
        codebook = compare_codebooks(path, one_file, other_file)
        same.append(path) if codebook.is_same else codebooks.append(codebook)
    return VersionsDifference(
        before=before.name,
        after=after.name,
        same=tuple(same),
        stores=tuple(stores),
        codebooks=tuple(codebooks),
        problems=tuple(problems),
    )


def compare_stores(
    path: str,
    before: ShardedStore | None,
    after: ShardedStore | None,
    *,
    limit: int | None = 10,
) -> StoreDifference:
    """Compare two stores of one feature and split, or say what a version alone has.

    A shard that both have, by its name and digest, is not opened. Of the others, rows are looked up
    by the indices of ids, and held against each other by their checksums; values are read where
    these differ. What cannot be read is a problem, and the rest is compared all the same.

    Args:
        path: of the store, in the result.
        before: the earlier store; None where that version has none.
        after: the later one, likewise.
        limit: as of `compare_versions`.
    """
    if before is None or after is None:
        return _of_one(path, before, after)
    headers = before.header, after.header
    common = {(one.name, one.digest) for one in headers[0].shards} & {
        (one.name, one.digest) for one in headers[1].shards
    }
    ours, theirs = (
        OneSide(
            store,
            [
                number
                for number, info in enumerate(store.header.shards)
                if (info.name, info.digest) not in common
            ],
        )
        for store in (before, after)
    )
    tally = RowTally(
        is_tokens=all(header.codebook_size is not None for header in headers),
        same_fingerprint=headers[0].fingerprint == headers[1].fingerprint,
        limit=limit,
    )
    unread_before = _compare_rows(ours, theirs, tally)
    in_both = tally.num_unchanged + sum(
        tally.states[state] for state in (RowState.INPUT, RowState.FINGERPRINT, RowState.VALUES)
    )
    unread_after = _name_new(ours, theirs, tally, in_both)
    num_common = sum(
        info.num_utterances for info in headers[0].shards if (info.name, info.digest) in common
    )
    return StoreDifference(
        path=path,
        rows=RowCounts(
            before=headers[0].num_utterances,
            after=headers[1].num_utterances,
            unchanged=num_common + tally.num_unchanged,
            by_input=tally.states[RowState.INPUT],
            by_fingerprint=tally.states[RowState.FINGERPRINT],
            by_values=tally.states[RowState.VALUES],
            same_values=tally.num_same_values,
            added=theirs.num_utterances - in_both - unread_after,
            removed=tally.states[RowState.REMOVED],
            unread_before=unread_before,
            unread_after=unread_after,
        ),
        values=tally.values(),
        moved=moved_headers(*headers),
        changes=tuple(tally.changes),
        num_shards=sum(len(header.shards) for header in headers),
        num_shards_read=ours.num_read + theirs.num_read,
        problems=(*ours.problems, *theirs.problems, *tally.problems),
    )


def _compare_rows(ours: OneSide, theirs: OneSide, tally: RowTally) -> int:
    """Go through the rows of the earlier store; return of how many nothing can be told."""
    num_unread = 0
    for utterance_id, part, row in ours.rows():
        found = theirs.find(utterance_id, part)
        if found is not None:
            tally.compare(utterance_id, row, found)
        elif theirs.may_hold(utterance_id):
            num_unread += 1
        else:
            tally.remove(utterance_id, row)
    return num_unread + ours.num_unread


def _name_new(ours: OneSide, theirs: OneSide, tally: RowTally, num_in_both: int) -> int:
    """Name rows of the later store that are new; return of how many nothing can be told."""
    if theirs.num_utterances == num_in_both:
        return 0
    num_unread = 0
    for utterance_id, part, row in theirs.rows():
        if ours.find(utterance_id, part) is not None:
            continue
        if ours.may_hold(utterance_id):
            num_unread += 1
        else:
            tally.add(utterance_id, row)
        if not ours.num_unread and not tally.names_more(RowState.ADDED):
            break  # the others are new, too, and would not be named
    return num_unread + theirs.num_unread


def _of_one(path: str, before: ShardedStore | None, after: ShardedStore | None) -> StoreDifference:
    store = before or after
    assert store is not None
    header: StoreHeader = store.header
    number = header.num_utterances
    return StoreDifference(
        path=path,
        only_in=BEFORE if before else AFTER,
        rows=RowCounts(before=number, removed=number)
        if before
        else RowCounts(after=number, added=number),
        num_shards=len(header.shards),
    )
