"""Cut what shards lack into tasks of some minutes of audio, whatever the shards weigh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from featbank.audio import decided_by
from featbank.base.manifest import Utterance
from featbank.engine.pace import TaskPace
from featbank.engine.plan import ShardPlan
from featbank.engine.previous_rows import OpenedShards, PreviousRows
from featbank.engine.tasks import INTERIM, ShardTask, Source, Workload, shard_task


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


class Cutter:
    """Cuts shards into tasks of consecutive rows, for workers that compute each utterance alone.

    A shard that is one task is made at once: nothing is written twice.

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
        """Cut the shards of a plan that workers have to make, one after the other."""
        for shard in shards:
            missing, counts = missing_rows(self._plan, shard)
            self.pace.see(audio_s(shard.rows), audio_s(missing))
            if self.keeps_whole or self._is_one_task(shard, missing):
                self.pace.hand_out(audio_s(missing))
                yield ShardWindow(
                    workloads=iter([Workload(tasks=(shard,))]), spent=spent(self._plan, counts)
                )
            else:
                workloads = self._workloads(shard, missing)
                yield ShardWindow(
                    workloads=workloads, shards=(shard,), spent=spent(self._plan, counts)
                )

    def _is_one_task(self, shard: ShardTask, missing: Sequence[Utterance]) -> bool:
        """Tell whether a worker makes a shard at once: it lacks little, or what failed before."""
        if all(row.id in shard.failed_before for row in missing):
            return True
        return len(missing) == 1 or audio_s(missing) <= self.pace.size_s

    def _workloads(self, shard: ShardTask, missing: Sequence[Utterance]) -> Iterator[Workload]:
        """Give tasks one by one, but those of one file together where that cannot be sought in."""
        rate = self._plan.rows[shard.split].framing.sample_rate
        together: list[ShardTask] = []
        left = list(reversed(missing))
        while left and not self.keeps_whole:
            size_s, rows = self.pace.size_s, [left.pop()]
            total_s = rows[0].duration_s
            while left and total_s + left[-1].duration_s <= size_s:
                total_s += left[-1].duration_s
                rows.append(left.pop())
            self.pace.hand_out(total_s)
            together.append(interim_task(self._plan, [shard], rows))
            goes_on = left and left[-1].audio == rows[-1].audio and decided_by(rows[-1], rate)
            if not (goes_on and len(together) * size_s < self.pace.left_s / self.pace.num_workers):
                yield Workload(tasks=tuple(together))
                together = []
        self.pace.hand_out(audio_s(left))  # to who joins
        if together:
            yield Workload(tasks=tuple(together))


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
