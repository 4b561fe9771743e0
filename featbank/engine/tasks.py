"""The messages between a run and its workers: a task, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from featbank.base.failures import Failure
from featbank.base.manifest import Utterance
from featbank.store import Numerics, ShardInfo, ShardSpec, shard_name

Source = tuple[Path, ShardInfo]
"""A shard of a previous run: its file, and what its header lists of it."""


INTERIM = "interim"
"""The folder, in a work folder, of shards that are joined into those of the stores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """One shard of each of the stores that are made together: the same rows in all of them.

    A task computes a shard of a store, or an interim one of some of its rows; or it joins those.

    Args:
        split: that the rows belong to.
        rows: in store order, all of one part.
        names: of the shards if no row fails, by feature name.
        work: folder that takes the shards, in a folder for each feature, and the result.
        sources: shards of previous runs that may hold some of the rows, by feature name.
        failed_before: ids of rows that a previous run could not use.
        interim: shards of other tasks of this run, to be joined, by feature name.
        failed: rows that failed in those tasks: they are not tried again.
    """

    split: str
    rows: Sequence[Utterance]
    names: Mapping[str, str]
    work: str
    sources: Mapping[str, Sequence[Source]] = field(default_factory=dict)
    failed_before: frozenset[str] = frozenset()
    interim: Mapping[str, Sequence[Source]] = field(default_factory=dict)
    failed: tuple[Failure, ...] = ()

    @property
    def key(self) -> str:
        """What the task is made from, in 16 hexadecimal digits."""
        return self.names[min(self.names)].removesuffix(".h5")

    @property
    def is_interim(self) -> bool:
        """Whether its shards are of no store, but joined into those."""
        return Path(self.work).name == INTERIM


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a worker is handed at once: tasks, each of which is finished alone.

    Of a worker that dies, only the task in its hands is lost: the others have their results in the
    work folder, where the next worker finds them.

    Args:
        tasks: to do, one after the other.
        beside: tasks that join interim shards, for a thread of the worker while it computes.
    """

    tasks: tuple[ShardTask, ...]
    beside: tuple[ShardTask, ...] = ()


def shard_task(
    specs: Mapping[str, ShardSpec], split: str, rows: Sequence[Utterance], work: Path
) -> ShardTask:
    """Return the task of making some rows into a shard for each of `specs`, by feature name."""
    ids, digests = [row.id for row in rows], [row.input_digest for row in rows]
    return ShardTask(
        split=split,
        rows=rows,
        names={name: shard_name(spec.fingerprint, ids, digests) for name, spec in specs.items()},
        work=str(work),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many utterances and shards a run computed, copied and kept.

    Args:
        num_computed: utterances that were decoded and computed.
        num_copied: utterances whose values were copied from a previous shard into a new one.
        num_kept: utterances in shards that were taken over as they are.
        num_shards_written: new shards.
        num_shards_kept: shards taken over as they are.
        computed_s: audio that was decoded and computed, in seconds.
    """

    num_computed: int = 0
    num_copied: int = 0
    num_kept: int = 0
    num_shards_written: int = 0
    num_shards_kept: int = 0
    computed_s: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        """Return the sums."""
        ours, theirs = asdict(self), asdict(other)
        return Tally(**{name: ours[name] + theirs[name] for name in ours})

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.num_computed} utterances computed, {self.num_copied} copied, "
            f"{self.num_kept} kept in {self.num_shards_kept} shards; "
            f"{self.num_shards_written} shards written"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """The result of a task; it has no shards where all of its rows failed.

    Args:
        key: of the task.
        split: that the rows belong to.
        shards: by feature name; each with its part.
        failures: rows that are in none of them.
        numerics: the class of the machine that computed them.
        tally: what it took.
        is_interim: whether these are of no store, but to be joined.
        audio_s: in the shards, in seconds.
        wall_s: wall-clock seconds that it took.
    """

    key: str = ""
    split: str
    shards: Mapping[str, ShardInfo]
    failures: tuple[Failure, ...]
    numerics: Numerics
    tally: Tally
    is_interim: bool = False
    audio_s: float = 0.0
    wall_s: float = 0.0
