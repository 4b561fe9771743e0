"""Cut windows of shards into tasks of whole batches of one shape, for workers with a device."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from featbank.base.manifest import Utterance
from featbank.engine.batching import batches
from featbank.engine.cutting import Cutter, ShardWindow, audio_s, interim_task, missing_rows, spent
from featbank.engine.pace import TaskPace
from featbank.engine.plan import ShardPlan
from featbank.engine.previous_rows import OpenedShards
from featbank.engine.tasks import ShardTask, Source, Workload
from featbank.features.shapes import BatchShape

WINDOW_S = 180_000.0
"""Audio of a window that is to be computed, in seconds: 50 h, in which most batches fill."""

_MOST_WINDOWS = 4  # in one, so that many workers have their fill of it: its interim shards wait
_SHARES = 2  # of a worker in a window: workloads, between which its line of work runs empty
_WALL_S = 120.0  # of a worker's time in a workload, whose failures are told at its end


@dataclass(slots=True, eq=False)
class _Gathered:
    """Shards of a window to be, with the rows that they lack."""

    shards: list[tuple[ShardTask, Sequence[Utterance]]] = field(default_factory=list)
    counts: Counter[Source] = field(default_factory=Counter)
    missing_s: float = 0.0


class WindowCutter(Cutter):
    """Cuts windows of shards into tasks, each of which is whole batches of one shape.

    A shape needs many utterances to fill its batches, more than the minutes of audio that a task
    has, or a shard: they come from a window, whose shards are joined when all of it is computed.
    Batches that are not full at its end are computed as they are.
    """

    def __init__(
        self, plan: ShardPlan, pace: TaskPace, shape_of: Callable[[Utterance], BatchShape | None]
    ) -> None:
        """Cut a plan.

        Args:
            plan: of a run.
            pace: says how much audio a task has at most, unless a batch has more.
            shape_of: the shape that an utterance is computed in beside others; None for alone.
        """
        super().__init__(plan, pace)
        self._shape_of = shape_of

    @property
    def joins_beside(self) -> bool:
        """True: a worker's processor joins shards while its device computes."""
        return True

    def windows(self, shards: Iterable[ShardTask]) -> Iterator[ShardWindow]:
        """Cut the shards of a plan that workers have to make, a window after the other."""
        gathered = _Gathered()
        opened = OpenedShards()
        for shard in shards:
            missing, counts = missing_rows(self._plan, shard, opened)
            missing_s = audio_s(missing)
            self.pace.see(audio_s(shard.rows), missing_s)
            if self.keeps_whole or all(row.id in shard.failed_before for row in missing):
                self.pace.hand_out(missing_s)
                yield ShardWindow(
                    workloads=iter([Workload(tasks=(shard,))]), spent=spent(self._plan, counts)
                )
                continue
            gathered.shards.append((shard, missing))
            gathered.counts += counts
            gathered.missing_s += missing_s
            if gathered.missing_s >= self._window_s:
                opened.close()
                yield self._window(gathered, is_last=False)
                gathered = _Gathered()
        if gathered.shards:
            yield self._window(gathered, is_last=True)

    @property
    def _window_s(self) -> float:
        return WINDOW_S * min(self.pace.num_workers, _MOST_WINDOWS)

    def _window(self, gathered: _Gathered, *, is_last: bool) -> ShardWindow:
        shards = tuple(shard for shard, _ in gathered.shards)
        used = spent(self._plan, gathered.counts)
        if self.keeps_whole or (is_last and gathered.missing_s <= self.pace.size_s):
            self.pace.hand_out(gathered.missing_s)
            whole = [(shard,) for shard in shards] if self.keeps_whole else [shards]
            return ShardWindow(workloads=(Workload(tasks=tasks) for tasks in whole), spent=used)
        return ShardWindow(
            workloads=self._workloads_of(gathered, is_last), shards=shards, spent=used
        )

    def _workloads_of(self, gathered: _Gathered, is_last: bool) -> Iterator[Workload]:
        """Give the tasks of a window in equal workloads; at the end of a run in falling ones."""
        left_s, tasks = gathered.missing_s, list(reversed(self._tasks(gathered)))
        shares = 1 if self.pace.num_workers == 1 else _SHARES * self.pace.num_workers
        share_s = left_s / shares
        while tasks and not self.keeps_whole:
            if is_last and shares > 1:
                share_s = left_s / shares
            taken = [tasks.pop()]
            taken_s = audio_s(taken[0].rows)
            while tasks and taken_s < min(share_s, self.pace.done_within(_WALL_S)):
                taken.append(tasks.pop())
                taken_s += audio_s(taken[-1].rows)
            left_s -= taken_s
            self.pace.hand_out(taken_s)
            yield Workload(tasks=tuple(taken))
        self.pace.hand_out(sum(audio_s(task.rows) for task in tasks))  # to who joins

    def _tasks(self, gathered: _Gathered) -> list[ShardTask]:
        """Cut a window: utterances that are computed alone first, then the longest shapes."""
        sized: list[tuple[float, ShardTask]] = []
        groups = groupby(gathered.shards, key=lambda one: (one[0].split, one[0].rows[0].part))
        for _, group in groups:
            of_part = list(group)
            shards = [shard for shard, _ in of_part]
            rows = [row for _, missing in of_part for row in missing]
            by_shape: dict[BatchShape | None, list[list[Utterance]]] = defaultdict(list)
            for shape, batch in batches(rows, self._shape_of):
                by_shape[shape].append(batch)
            for shape, of_shape in by_shape.items():
                samples = float("inf") if shape is None else shape.samples
                sized += [
                    (samples, interim_task(self._plan, shards, in_task))
                    for in_task in self._whole_batches(of_shape)
                ]
        return [task for _, task in sorted(sized, key=lambda one: -one[0])]

    def _whole_batches(self, of_shape: Iterable[list[Utterance]]) -> Iterator[list[Utterance]]:
        """Give batches, as many together as a task may have of audio."""
        together: list[Utterance] = []
        for batch in of_shape:
            if together and audio_s(together) + audio_s(batch) > self.pace.most_s:
                yield together
                together = []
            together += batch
        if together:
            yield together
