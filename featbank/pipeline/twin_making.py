"""Making of twins: objects into the cache and the remotes, then a commit, and its tag at last.

Where the tag is, everything of the twin is; what was made before a kill is found and taken again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from featbank.corpora.forgotten import FORGOTTEN, read_forgotten
from featbank.errors import StoreError
from featbank.files.provenance import write_atomic
from featbank.pipeline.dvc_outputs import dvc_project
from featbank.pipeline.dvc_pointer import PushedFile
from featbank.pipeline.dvc_remote import file_md5
from featbank.pipeline.placed_objects import PlacedObjects
from featbank.pipeline.revision_locks import LockedOutput, RevisionLocks
from featbank.pipeline.revision_tree import RevisionTree
from featbank.pipeline.revisions import read_revisions
from featbank.withdrawal.plan import PLAN, Twin, WithdrawalPlan
from featbank.withdrawal.redacted_output import RedactedParts, parts_of, redact_output
from featbank.withdrawal.redaction import joined_marks, redact_pins, write_forgotten

_WORK = PLAN.with_name("twin")


@contextmanager
def work_folder() -> Iterator[Path]:
    """Give the folder for what twins are made of; nothing of it is left behind."""
    shutil.rmtree(_WORK, ignore_errors=True)
    try:
        yield _WORK
    finally:
        shutil.rmtree(_WORK, ignore_errors=True)


def held_parts(out: LockedOutput, kinds: Mapping[str, str]) -> RedactedParts:
    """Tell what is to be done with an output.

    Args:
        out: of a revision.
        kinds: of the objects that hold the person, by their names.
    """
    held = {path: kinds[one] for path, one in out.files.items() if one in kinds}
    return parts_of(out.files, held)


def make_twins(plan: WithdrawalPlan) -> tuple[Twin, ...]:
    """Write the twins of a withdrawal, but for those that are there.

    Returns:
        The twins as they are.

    Raises:
        FeatbankError: something is damaged, or a remote does not take it. There are new objects
            then, which the next try takes for its own, and nothing else has changed.
    """
    if all(twin.made for twin in plan.twins):
        return plan.twins
    with work_folder() as work, dvc_project() as repo:
        objects = PlacedObjects(repo, work / "objects")

        def make(number: int, twin: Twin) -> Twin:
            [revision] = read_revisions([twin.commit])
            tree = RevisionTree(repo, twin.commit)
            locks = RevisionLocks(tree, revision.outputs, objects.listing)
            return _Making(twin, plan, tree, objects, locks, work / str(number)).run()

        return tuple(
            twin if twin.made else make(number, twin) for number, twin in enumerate(plan.twins)
        )


class _Making:
    """One twin under way."""

    def __init__(
        self,
        twin: Twin,
        plan: WithdrawalPlan,
        tree: RevisionTree,
        objects: PlacedObjects,
        locks: RevisionLocks,
        work: Path,
    ) -> None:
        self._twin = twin
        self._plan = plan
        self._tree = tree
        self._objects = objects
        self._locks = locks
        self._work = work
        self._kinds = {one.digest: one.kind for one in plan.deletions}
        self._new: dict[str, PushedFile | None] = {}  # by paths from the project's folder
        self._old_sizes: dict[str, int] = {}

    def run(self) -> Twin:
        """Make all of it."""
        twin, locks = self._twin, self._locks
        dropped = locks.stages_of(twin.dropped)
        locks.drop(dropped)
        before = locks.objects()
        for number, out in enumerate(locks.outputs):
            self._redact(out, self._work / str(number))
        changes: dict[str, bytes | None] = dict(self._redacted_git())
        locks.follow(self._new, self._old_sizes)
        changes |= locks.texts()
        for out in dropped:
            within = (path for path in self._tree.files if out.is_in_git and out.has(path))
            changes |= dict.fromkeys(within)
        named = self._named()
        if doomed := named & self._kinds.keys():
            raise StoreError(
                f"twin {twin.tag}", expected="no object that is to go", got=sorted(doomed)[0]
            )
        for remote in twin.remotes:
            self._objects.send(named, remote)
        made = self._tree.tag_changed(twin.tag, changes, _message(twin))
        return replace(twin, made=made, num_kept=len(named & before), num_new=len(named - before))

    def _named(self) -> set[str]:
        """Return all objects that the outputs name by now."""
        outs = [one for one in self._locks.outputs if not one.is_in_git]
        files = {one.at(path): md5 for one in outs for path, md5 in one.files.items()}
        kept = {md5 for path, md5 in files.items() if path not in self._new}
        made = {one.md5 for path, one in self._new.items() if one and path not in self._tree.files}
        return {one.digest for one in outs} | kept | made

    def _redact(self, out: LockedOutput, work: Path) -> None:
        """Have an output name new objects in place of those that hold the person."""
        parts = held_parts(out, self._kinds)
        if parts == RedactedParts():
            return
        changed = redact_output(
            out.files, parts, self._plan.ids, lambda path: self._objects.path(out.files[path]), work
        )
        new: dict[str, PushedFile | None] = {}
        num_bytes = 0
        for path, file in changed.items():
            if path in out.files:
                size = self._objects.path(out.files[path]).stat().st_size
                self._old_sizes[out.at(path)] = size
                num_bytes -= size
            new[path] = made = self._add(file) if file else None
            num_bytes += made.num_bytes if made else 0
        listing = work / "listing.json"
        write_atomic(listing, out.change(new, num_bytes))
        self._objects.cache(listing, out.digest)
        self._new |= {out.at(path): one for path, one in new.items()}

    def _add(self, file: Path) -> PushedFile:
        entry = PushedFile(md5=file_md5(file), num_bytes=file.stat().st_size)
        self._objects.cache(file, entry.md5)
        return entry

    def _redacted_git(self) -> Iterator[tuple[str, bytes]]:
        """Give the files of git that are others in the twin: pinned ids, and marks."""
        for path in self._twin.pins:
            file = self._copy(path)
            redact_pins(file, self._plan.ids)
            yield path, self._changed(path, file)
        path = FORGOTTEN.as_posix()
        if path in self._tree.files:  # else its code does not know marks
            file = self._copy(path)
            there = read_forgotten(file), read_forgotten(FORGOTTEN)
            write_forgotten(file, joined_marks(*there, self._plan.forgotten))
            yield path, self._changed(path, file)

    def _copy(self, path: str) -> Path:
        file = self._work / "git" / path
        write_atomic(file, self._tree.read(path))
        return file

    def _changed(self, path: str, file: Path) -> bytes:
        self._new[path] = PushedFile(md5=file_md5(file), num_bytes=file.stat().st_size)
        self._old_sizes[path] = len(self._tree.read(path))
        return file.read_bytes()


def _message(twin: Twin) -> str:
    return (
        f"Redact {twin.commit[:12]}: a twin without who was withdrawn\n\n"
        "Made by featbank forget --keep. The stages of what could not be redacted are left out: "
        f"git checkout {twin.commit[:12]} -- dvc.yaml brings them back, and dvc repro runs them.\n"
    )
