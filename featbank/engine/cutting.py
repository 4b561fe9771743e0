"""Cut what shards lack into tasks of some minutes of audio, whatever the shards weigh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from featbank.audio import decided_by
from featbank.base.manifest import Utterance
from featbank.base.places import read_together, row_group
from featbank.engine.pace import TaskPace
from featbank.engine.plan import ShardPlan
from featbank.engine.previous_rows import OpenedShards, PreviousRows
from featbank.engine.tasks import INTERIM, ShardTask, Source, Workload, shard_task

_MOST_GROUPS = 64  # in one window: the last one may be read again in the next


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardWindow:
    """Consecutive shards of a plan, and the workloads that compute what these lack.

    Args:
        workloads: cut as they are asked for.
        shards: to be joined from what the workloads make; none where a workload makes the shards
            themselves.
        spent: interim shards that a stopped run has left, all of whose rows are in these shards.
    """

    workloads: Iterator[Workload]
    shards: tuple[ShardTask, ...] = ()
    spent: tuple[Path, ...] = ()


@dataclass(slots=True, eq=False)
class Gathered:
    """Shards of a window to be, with the rows that they lack."""

    shards: list[tuple[ShardTask, Sequence[Utterance]]] = field(default_factory=list)
    counts: Counter[Source] = field(default_factory=Counter)
    missing_s: float = 0.0
    num_groups: int = 0

    def add(self, shard: ShardTask, missing: Sequence[Utterance], counts: Counter[Source]) -> None:
        """Add a shard, the rows that it lacks, and how many of the others each source has."""
        self.shards.append((shard, missing))
        self.counts += counts
        self.missing_s += audio_s(missing)
        self.num_groups += sum(1 for _ in groupby(missing, key=lambda row: row_group(row.audio)))

    def parts(self) -> Iterator[tuple[list[ShardTask], list[Utterance]]]:
        """Give the shards that may be made of the same tasks, and what they lack."""
        of_part = groupby(self.shards, key=lambda one: (one[0].split, one[0].rows[0].part))
        for some in (list(group) for _, group in of_part):
            yield [shard for shard, _ in some], [row for _, missing in some for row in missing]


class Cutter:
    """Cuts shards into tasks of consecutive rows, for workers that compute each utterance alone.

    A shard that is one task is made at once: nothing is written twice. Of shards that end within
    row groups of Parquet files, several are cut together, for each group is read by one worker.

    Attributes:
        pace: says how long tasks are.
        keeps_whole: whether shards are cut no more: each is one task.
    """

    def __init__(self, plan: ShardPlan, pace: TaskPace) -> None:
        self.pace = pace
        self.keeps_whole = False
        self._plan = plan

    @property
    def joins_beside(self) -> bool:
        """Whether workers join shards beside their computing, not in its place."""
        return False

    def windows(self, shards: Iterable[ShardTask]) -> Iterator[ShardWindow]:
        """Cut the shards of a plan that workers have to make, a window after the other."""
        gathered, opened = Gathered(), OpenedShards()
        for shard in shards:
            missing, counts = missing_rows(self._plan, shard, opened)
            missing_s = audio_s(missing)
            self.pace.see(audio_s(shard.rows), missing_s)
            if self.keeps_whole or all(row.id in shard.failed_before for row in missing):
                self.pace.hand_out(missing_s)
                if not gathered.shards:
                    opened.close()
                yield ShardWindow(
                    workloads=iter([Workload(tasks=(shard,))]), spent=spent(self._plan, counts)
                )
                continue
            gathered.add(shard, missing, counts)
            if self._is_full(gathered):
                opened.close()
                yield self._window(gathered, is_last=False)
                gathered = Gathered()
        opened.close()
        if gathered.shards:
            yield self._window(gathered, is_last=True)

    def _is_full(self, gathered: Gathered) -> bool:
        """Tell whether some shards are a window: one is, unless its end is within a row group."""
        return (
            gathered.num_groups >= _MOST_GROUPS
            or self.pace.num_workers == 1
            or not row_group(gathered.shards[-1][1][-1].audio)
        )

    def _window(self, gathered: Gathered, *, is_last: bool) -> ShardWindow:
        """Return the window of some shards."""
        shards = tuple(shard for shard, _ in gathered.shards)
        used = spent(self._plan, gathered.counts)
        if self.keeps_whole or self._is_one_task(gathered, is_last):
            self.pace.hand_out(gathered.missing_s)
            whole = [(shard,) for shard in shards] if self.keeps_whole else [shards]
            return ShardWindow(workloads=(Workload(tasks=tasks) for tasks in whole), spent=used)
        workloads = self._workloads(gathered, is_last)
        return ShardWindow(workloads=workloads, shards=shards, spent=used)

    def _is_one_task(self, gathered: Gathered, is_last: bool) -> bool:
        """Tell whether a worker makes the shards of a window at once: they lack little."""
        del is_last
        _, missing = gathered.shards[0]
        is_little = len(missing) == 1 or gathered.missing_s <= self.pace.size_s
        return is_little and len(gathered.shards) == 1

    def _workloads(self, gathered: Gathered, is_last: bool) -> Iterator[Workload]:
        """Give tasks one by one, but those of what is read once for all of them together."""
        del is_last
        for shards, missing in gathered.parts():
            rate = self._plan.rows[shards[0].split].framing.sample_rate
            yield from self._of_part(shards, list(reversed(missing)), rate)

    def _of_part(
        self, shards: Sequence[ShardTask], left: list[Utterance], rate: int
    ) -> Iterator[Workload]:
        """Give the tasks of the rows in `left`, of which the last one is the first."""
        together: list[ShardTask] = []
        while left and not self.keeps_whole:
            size_s, rows = self.pace.size_s, [left.pop()]
            total_s = rows[0].duration_s
            while left and total_s + left[-1].duration_s <= size_s:
                total_s += left[-1].duration_s
                rows.append(left.pop())
            if left and not read_together(rows[0].audio, left[-1].audio):
                while read_together(rows[-1].audio, left[-1].audio):  # a task of its own
                    total_s -= rows[-1].duration_s
                    left.append(rows.pop())
            self.pace.hand_out(total_s)
            together.append(interim_task(self._plan, shards, rows))
            goes_on = left and _is_read_on(rows[-1], left[-1], rate)
            if not (goes_on and len(together) * size_s < self.pace.left_s / self.pace.num_workers):
                yield Workload(tasks=tuple(together))
                together = []
        self.pace.hand_out(audio_s(left))  # to who joins
        if together:
            yield Workload(tasks=tuple(together))


def _is_read_on(row: Utterance, following: Utterance, rate: int) -> bool:
    """Tell whether what was read of a row is of use to the following one, to the same worker."""
    if row.audio == following.audio and decided_by(row, rate):
        return True  # it cannot be sought in
    return read_together(row.audio, following.audio)


def missing_rows(
    plan: ShardPlan, shard: ShardTask, opened: OpenedShards | None = None
) -> tuple[Sequence[Utterance], Counter[Source]]:
    """Return the rows of a shard that are in no previous one, as far as this process can tell.

    Those that a worker of another numerics class could copy are among them; that worker does.

    Args:
        plan: of the shard.
        shard: that a worker has to make.
        opened: keeps previous shards open for other shards.

    Returns:
        The rows, and how many of the others each previous shard has.
    """
    if not any(shard.sources.values()):
        return shard.rows, Counter()
    previous = PreviousRows(shard, plan.specs, opened)
    return [row for row in shard.rows if row.id not in previous], previous.counts()


def spent(plan: ShardPlan, counts: Counter[Source]) -> tuple[Path, ...]:
    """Return the interim shards of stopped runs of which every row has been counted."""
    return tuple(
        path
        for (path, info), number in counts.items()
        if number == info.num_utterances and path.is_relative_to(plan.work / INTERIM)
    )


def interim_task(
    plan: ShardPlan, shards: Sequence[ShardTask], rows: Sequence[Utterance]
) -> ShardTask:
    """Return the task of computing some rows of shards of one split into interim shards.

    Args:
        plan: of the shards.
        shards: that the rows belong to.
        rows: in store order, of one part.
    """
    first, last = rows[0].id, rows[-1].id
    task = shard_task(plan.specs, shards[0].split, rows, plan.work / INTERIM)
    sources = {
        name: list(
            dict.fromkeys(
                source
                for shard in shards
                for source in shard.sources.get(name, ())
                if source[1].first_id <= last and first <= source[1].last_id
            )
        )
        for name in task.names
    }
    return replace(task, sources=sources)


def audio_s(rows: Iterable[Utterance]) -> float:
    """Return the seconds of audio in some rows."""
    return sum(row.duration_s for row in rows)
