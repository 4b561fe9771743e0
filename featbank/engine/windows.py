"""Cut windows of shards into tasks of whole batches of one shape, for workers with a device."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

from featbank.base.manifest import Utterance
from featbank.base.places import read_together, row_group
from featbank.engine.batching import batches
from featbank.engine.cutting import Cutter, Gathered, audio_s, interim_task
from featbank.engine.pace import TaskPace
from featbank.engine.plan import ShardPlan
from featbank.engine.tasks import ShardTask, Workload
from featbank.features.shapes import BatchShape

WINDOW_S = 180_000.0
"""Audio of a window that is to be computed, in seconds: 50 h, in which most batches fill."""

_MOST_WINDOWS = 4  # in one, so that many workers have their fill of it: its interim shards wait
_SHARES = 2  # of a worker in a window: workloads, between which its line of work runs empty
_WALL_S = 120.0  # of a worker's time in a workload, whose failures are told at its end


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

    @property
    def _window_s(self) -> float:
        return WINDOW_S * min(self.pace.num_workers, _MOST_WINDOWS)

    def _is_full(self, gathered: Gathered) -> bool:
        return gathered.missing_s >= self._window_s

    def _is_one_task(self, gathered: Gathered, is_last: bool) -> bool:
        return is_last and gathered.missing_s <= self.pace.size_s

    def _workloads(self, gathered: Gathered, is_last: bool) -> Iterator[Workload]:
        """Give the tasks of a window in equal workloads; at the end of a run in falling ones."""
        shares = 1 if self.pace.num_workers == 1 else _SHARES * self.pace.num_workers
        if shares > 1 and any(row_group(missing[0].audio) for _, missing in gathered.shards):
            yield from self._workloads_by_group(gathered, shares)
            return
        left_s, tasks = gathered.missing_s, list(reversed(self._tasks(gathered)))
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

    def _workloads_by_group(self, gathered: Gathered, shares: int) -> Iterator[Workload]:
        """Give workloads of consecutive rows: each row group of Parquet is read by one worker."""
        for share in _cut_between_groups(gathered, gathered.missing_s / shares):
            self.pace.hand_out(share.missing_s)
            if not self.keeps_whole:  # else to who joins
                yield Workload(tasks=tuple(self._tasks(share)))

    def _tasks(self, gathered: Gathered) -> list[ShardTask]:
        """Cut a window: utterances that are computed alone first, then the longest shapes."""
        sized: list[tuple[float, ShardTask]] = []
        for shards, rows in gathered.parts():
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


def _cut_between_groups(gathered: Gathered, share_s: float) -> Iterator[Gathered]:
    """Cut what shards lack into shares of so many seconds, none within a row group of Parquet."""
    share, rows = Gathered(), list[Utterance]()
    last, taken_s = "", 0.0
    for shard, missing in gathered.shards:
        for row in missing:
            if taken_s >= share_s and not read_together(last, row.audio):
                if rows:
                    share.add(shard, rows, Counter())
                yield share
                share, rows, taken_s = Gathered(), [], 0.0
            rows.append(row)
            last, taken_s = row.audio, taken_s + row.duration_s
        share.add(shard, rows, Counter())
        rows = []
    yield share
