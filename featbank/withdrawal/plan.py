"""Plan of a withdrawal: all that it is to do, on the disk before the first of it is done.

So one that was killed goes on, though what is gone can be searched no more. The plan names people:
it lies in the project's folder of records, which git ignores, and goes with its last step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from featbank.corpora.forgotten import Forgotten
from featbank.errors import FeatbankError
from featbank.files.json_files import read_json
from featbank.files.provenance import readable_json, write_atomic
from featbank.files.records import record

PLAN = Path(".featbank", "withdrawal.json")
"""Where the plan of a withdrawal that is not through lies."""

_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """An object to be deleted from one place.

    Args:
        place: `cache`, or `remote NAME`.
        digest: the name of the object.
        kind: what it is, such as `shard`.
        output: of DVC that it was of; empty where nothing says.
        is_current: the workspace names it, until it is made anew.
        is_sure: as of `featbank.pipeline.holdings.Holding`.
    """

    place: str
    digest: str
    kind: str
    output: str = ""
    is_current: bool = False
    is_sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRevision:
    """A commit that can no longer be pulled whole.

    Args:
        commit: its hash.
        names: tags and branches that are at it.
    """

    commit: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRevision:
    """A revision that is to have a twin.

    Args:
        revision: a tag, a branch or a commit.
        tag: of the twin.
    """

    revision: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A commit that names what a revision does, without the person.

    Args:
        revision: that it is made of, as it was named.
        commit: of the revision: the parent of the twin.
        tag: of the twin.
        remotes: that get its objects, by DVC's names for them.
        num_kept: objects that it shares with the revision.
        num_new: objects that are made for it; before it is made, the most that may be.
        dropped: outputs that name the person and that nothing can be taken out of, such as
            reports: the twin has not the stages that make them.
        pins: lists of ids, in git, that the person is taken out of.
        codebooks: that were fitted on the person, and stay.
        left: files in git that name the person and that no stage made: they stay.
        made: its own commit; empty before it is made.
    """

    revision: str
    commit: str
    tag: str
    remotes: tuple[str, ...] = ()
    num_kept: int = 0
    num_new: int = 0
    dropped: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    codebooks: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    made: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotReached:
    """Something that may hold the person still, without a name of the person.

    Args:
        what: it is.
        why: it is not reached, or who is to do what.
    """

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalPlan:
    """All that one withdrawal is to do.

    Args:
        begun: time, in UTC.
        ids: of the utterances, in any version.
        unknown: ids and speakers that were asked for, and of whom no utterance is found.
        audio: paths of their files, by corpus.
        salt: of the project's marks.
        marks: that are to keep them away, and are not there yet.
        deletions: objects to delete.
        work_files: records and unfinished shards to remove.
        pins: lists to take the ids out of.
        remade: outputs in the workspace that DVC makes anew.
        codebooks: in the workspace that were fitted on the utterances.
        old_codebooks: outputs of other revisions that were.
        refit: fit those of the workspace anew.
        cut: commits that can no longer be pulled whole.
        yours: files of the workspace for the person at the keyboard to mend or delete.
        unreached: what may hold the person still.
        twins: of revisions that are cut; all are whole before the plan is on the disk.
    """

    begun: str
    ids: tuple[str, ...]
    unknown: tuple[str, ...]
    audio: Mapping[str, tuple[str, ...]]
    salt: str
    marks: tuple[str, ...]
    deletions: tuple[Deletion, ...]
    work_files: tuple[str, ...]
    pins: tuple[str, ...]
    remade: tuple[str, ...]
    codebooks: tuple[str, ...]
    old_codebooks: tuple[str, ...]
    refit: bool
    cut: tuple[CutRevision, ...]
    yours: tuple[str, ...]
    unreached: tuple[NotReached, ...]
    twins: tuple[Twin, ...] = ()

    @property
    def forgotten(self) -> Forgotten:
        """The new marks."""
        return Forgotten(salt=self.salt, marks=frozenset(self.marks))

    @property
    def has_work(self) -> bool:
        """Whether there is something to delete, to remove, to make anew or to mark."""
        return bool(self.deletions or self.work_files or self.pins or self.remade or self.marks)

    def save(self) -> None:
        """Write the plan to where a killed withdrawal finds it."""
        write_atomic(PLAN, readable_json(asdict(self)))


def stopped_plan() -> WithdrawalPlan | None:
    """Return the plan of a withdrawal that is not through; None where all are.

    Raises:
        FeatbankError: it is damaged.
    """
    if not PLAN.exists():
        return None
    fields = read_json(PLAN, what="withdrawal", error=FeatbankError, max_bytes=_MAX_BYTES)
    try:
        return record(WithdrawalPlan, fields)
    except ValueError as error:
        raise FeatbankError(
            f"withdrawal {PLAN}",
            expected="the plan of one that was stopped",
            got=error,
            hint="remove it and type the withdrawal again: what it still finds goes",
        ) from error
