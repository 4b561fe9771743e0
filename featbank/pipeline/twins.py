"""Twins: revisions that hold somebody, to be written once more without, before anything goes.

Objects are redacted, and not computed again: the code of an old revision knows no marks, and its
audio may be gone. What names the person and is no store and no manifest is dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from featbank.base.sought import Sought, Traces
from featbank.errors import ConfigError, StoreError
from featbank.files.opening import read_regular
from featbank.files.provenance import canonical_json, write_atomic
from featbank.pipeline.dvc_outputs import dvc_project
from featbank.pipeline.holders import GIT
from featbank.pipeline.holdings import Holding, Holdings
from featbank.pipeline.placed_objects import PlacedObjects
from featbank.pipeline.revision_locks import LockedOutput, RevisionLocks
from featbank.pipeline.revision_tree import RevisionTree
from featbank.pipeline.revisions import Revision, read_revisions
from featbank.pipeline.twin_making import held_parts, work_folder
from featbank.store.format import HEADER_NAME
from featbank.store.header_file import MAX_HEADER_BYTES, parse_header
from featbank.tokenizers.sample import read_pins
from featbank.withdrawal.plan import KeptRevision, Twin
from featbank.withdrawal.redacted_output import RedactedParts


def plan_twins(
    keep: Sequence[KeptRevision], holdings: Holdings, sought: Sought
) -> tuple[Twin, ...]:
    """Say what the twins of some revisions will be; nothing is written.

    Args:
        keep: which.
        holdings: all that holds the person.
        sought: the person, with all ids that were found.

    Raises:
        ConfigError: there is no such revision, it does not hold the person, its tag is taken, or
            something in it cannot be redacted.
        StoreError: objects of it are nowhere, or are of another version of the format.
    """
    if not keep:
        return ()
    with work_folder() as work, dvc_project() as repo:
        trees = [RevisionTree(repo, kept.revision) for kept in keep]
        for kept, tree in zip(keep, trees, strict=True):
            if not _held(one for one in holdings.found if tree.commit in one.revisions):
                raise ConfigError(
                    f"--keep {kept.revision}",
                    expected="a revision that names objects with the person",
                    got="one that names none: it stays whole, and needs no twin",
                )
        objects = PlacedObjects(repo, work)
        return tuple(
            _plan_twin(kept, tree, holdings, sought, objects, repo, work)
            for kept, tree in zip(keep, trees, strict=True)
        )


def _plan_twin(
    kept: KeptRevision,
    tree: RevisionTree,
    holdings: Holdings,
    sought: Sought,
    objects: PlacedObjects,
    repo: Any,
    work: Path,
) -> Twin:
    [revision] = read_revisions([kept.revision])
    own = [one for one in holdings.found if tree.commit in one.revisions]
    planning = _Planning(kept, tree, revision, objects, own, sought, work)
    if (tagged := tree.tagged(kept.tag)) is None:
        return planning.run()
    made, parents = tagged
    if parents != (tree.commit,) or _held(one for one in holdings.found if made in one.revisions):
        raise ConfigError(
            f"tag {kept.tag}",
            expected="a free name for the twin",
            got="a tag that is there",
            hint=f"--keep {kept.revision}=NAME chooses another",
        )
    # of a withdrawal that was killed behind it
    [there] = read_revisions([made])
    before = planning.named
    after = RevisionLocks(RevisionTree(repo, made), there.outputs, objects.listing).objects()
    num_kept, num_new = len(after & before), len(after - before)
    return replace(planning.run(), made=made, num_kept=num_kept, num_new=num_new)


class _Planning:
    """A look at one revision."""

    def __init__(
        self,
        kept: KeptRevision,
        tree: RevisionTree,
        revision: Revision,
        objects: PlacedObjects,
        own: Collection[Holding],
        sought: Sought,
        work: Path,
    ) -> None:
        self._work = work
        self._where = f"--keep {kept.revision}"
        self._kept = kept
        self._tree = tree
        self._objects = objects
        self._own = own
        self._sought = sought
        tracked = revision.outputs.values()
        self._refuse_lacking(one.digest for one in tracked if one.cache)
        self._locks = RevisionLocks(tree, revision.outputs, objects.listing)
        self.named = self._locks.objects()
        self._refuse_lacking(self.named)
        listed = {one.path for one in self._locks.outputs}
        if unlisted := [path for path in revision.outputs if path not in listed]:
            raise StoreError(
                f"{self._where}: {unlisted[0]}",
                expected="an output that a lock file names by an MD5",
                got="another, as of a remote with versions",
            )
        self._whole_in = {name for name, there in objects.remotes.items() if self.named <= there}

    def run(self) -> Twin:
        """Say what the twin will be."""
        kinds = {one.digest: one.kind for one in _held(self._own)}
        in_git = {one.path: one.kind for one in self._own if one.place == GIT}
        stuck: set[str] = set()
        redacted: set[str] = set()
        for out in self._locks.outputs:
            parts = held_parts(out, kinds)
            # what dvc add made of a single file has no name in it
            stuck_here = [*parts.stuck, *(one for one in parts.audio if not one)]
            if stuck_here and not out.stage:
                raise ConfigError(
                    f"{self._where}: {out.at(stuck_here[0])}",
                    expected="stores, manifests or audio in what dvc add made",
                    got="a file that nobody can take the person out of",
                )
            if parts.stuck or (out.is_in_git and any(out.has(path) for path in in_git)):
                stuck.add(out.path)
            else:
                self._refuse_unreadable(out, parts)
                redacted.update(out.files[path] for path in parts.paths)
        dropped = self._locks.stages_of(stuck)
        self._locks.drop(dropped)
        kept = {md5 for out in self._locks.outputs for md5 in out.files.values()} - redacted
        pins = {path for path, kind in in_git.items() if kind == "pins"}
        for path in pins:
            self._refuse_empty(path)
        gone = {path for path in in_git for out in dropped if out.has(path)}
        default = [self._objects.default] if self._objects.default else []
        return Twin(
            revision=self._kept.revision,
            commit=self._tree.commit,
            tag=self._kept.tag,
            remotes=tuple(sorted({*self._whole_in, *default})),
            num_kept=len(kept),
            num_new=len(redacted),
            dropped=tuple(sorted(out.path for out in dropped)),
            pins=tuple(sorted(pins)),
            codebooks=tuple(sorted({one.output for one in self._own if one.why == "fitted"})),
            left=tuple(sorted(in_git.keys() - pins - gone)),
        )

    def _refuse_lacking(self, digests: Iterable[str]) -> None:
        if lacking := [one for one in digests if one not in self._objects]:
            raise StoreError(
                self._where,
                expected="all objects of the revision, in the cache or a remote that answers",
                got=f"{len(lacking)} that are in neither, the first {lacking[0]}",
                hint="dvc fetch --all-commits of a clone that has them, or leave --keep away",
            )

    def _refuse_unreadable(self, out: LockedOutput, parts: RedactedParts) -> None:
        """Refuse stores of another version, and those whose origin names the person."""
        if parts != RedactedParts() and out.entry.get("hash") != "md5":
            raise StoreError(
                f"{self._where}: {out.path}", expected="objects of DVC 3", got="those of DVC 2"
            )
        traces = Traces(self._sought)
        for folder in parts.stores:
            path = f"{folder}/{HEADER_NAME}" if folder else HEADER_NAME
            where = f"{self._where}: {out.at(path)}"
            data = read_regular(self._objects.path(out.files[path]), MAX_HEADER_BYTES)
            header = parse_header(data, where, "leave --keep away")
            if traces.is_sure(canonical_json(header.provenance)):
                raise StoreError(where, expected="an origin without names", got="the person's")

    def _refuse_empty(self, path: str) -> None:
        """Refuse a list of pinned ids that are all of the person."""
        file = self._work / "pins" / path
        write_atomic(file, self._tree.read(path))
        if self._sought.ids.issuperset(read_pins(file)):
            raise ConfigError(
                f"{self._where}: pinned ids {path}",
                expected="some of others",
                got="none: what is fitted on nobody has no twin",
            )


def _held(found: Iterable[Holding]) -> list[Holding]:
    """Return the objects of DVC that name somebody."""
    return [one for one in found if one.why == "holds" and one.place != GIT]
