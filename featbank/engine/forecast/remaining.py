"""Count what a plan leaves to compute, its size and its tasks; draw a sample of it to be timed."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from featbank.base.framing import Framing
from featbank.base.manifest import Utterance
from featbank.engine.batching import shape_of
from featbank.engine.forecast.drawing import BatchSample, DrawnBatch, Row, RowSample
from featbank.engine.forecast.interim import LONGEST_TASK_S, WINDOW_S, InterimPeak, task_seconds
from featbank.engine.forecast.kinds import AudioLeft
from featbank.engine.job import Job
from featbank.engine.plan import ShardPlan
from featbank.engine.previous import PreviousRows
from featbank.engine.rows import cut_into_shards, laid_out, num_frames
from featbank.engine.space import (
    DiskNeed,
    free_bytes,
    is_bound,
    on_one_disk,
)
from featbank.store import planned_bytes

_SAMPLE_ROWS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSize:
    """The size of one store that is to be made.

    Args:
        name: of the feature.
        split: of the corpus.
        num_bytes: of its shards, to the byte unless an utterance fails.
        at_most: the size is a bound: values are compressed, or repeats merged.
    """

    name: str
    split: str
    num_bytes: int
    at_most: bool


class Remaining:
    """What a plan leaves to compute, counted in one pass over its shards.

    Attributes:
        num_left: utterances to compute.
        left_s: of these, in seconds.
        longest: of these; None where there is none.
        audio: of these, by the kind of their files.
        resampled_s: of these, whose files have another rate than the extractor.
        task_s: audio of a task, in seconds.
        interim_bytes: of shards that wait at a time to be joined, at most.
        num_tasks: into which workers' computing is cut.
        num_shards: that workers have to make.
    """

    def __init__(self, job: Job, plan: ShardPlan, num_workers: int = 1) -> None:
        """Look at every shard.

        Args:
            job: what is to be made.
            plan: of the job.
            num_workers: among which the tasks are cut.
        """
        self._job = job
        self._plan = plan
        self._together_s = job.computing.seconds_together
        self._rows = RowSample(_SAMPLE_ROWS)
        self._batches = BatchSample(lambda row: shape_of(row, job.extractor, self._together_s))
        self._unjoined: list[tuple[int, float, int]] = []  # rows, audio, bytes of each new shard
        self._num_workers = num_workers
        self.audio = AudioLeft()
        self.resampled_s = 0.0
        self._new: Counter[str] = Counter()  # bytes of shards to be made, by name
        self._copied: Counter[str] = Counter()  # bytes of shards that cannot be linked
        self._largest = 0  # shard to be compressed
        self.interim_bytes, self.task_s = 0, 0.0
        self.num_left = self.num_tasks = self.num_shards = 0
        self.left_s = 0.0
        self.longest: Row | None = None
        self._sizes = Counter(dict.fromkeys(job.paths, 0))  # of the stores, by name and split
        self._look()
        self._cut_into_tasks()
        if job.shard_bytes is not None:
            self._look_at_rewritten(job.shard_bytes)

    @property
    def stores(self) -> list[StoreSize]:
        """What the stores will weigh."""
        return [
            StoreSize(name=name, split=split, num_bytes=size, at_most=is_bound(self._job, name))
            for (name, split), size in self._sizes.items()
        ]

    @property
    def drawn(self) -> list[DrawnBatch]:
        """Utterances that are left, in an order of chance that is always the same.

        In whole batches of their shapes where the extractor computes several together.
        """
        if self._together_s:
            return self._batches.batches
        return [DrawnBatch(split=split, shape=None, rows=[row]) for split, row in self._rows.rows]

    @property
    def upload_bytes(self) -> int:
        """Bytes of the shards that no previous store has: what `dvc push` sends of them."""
        changed = self._new if self._job.shard_bytes is None else self._copied
        return sum(changed.values())

    def _look(self) -> None:
        linked = on_one_disk(self._plan.work, self._job.out)
        for task, there in self._plan:
            if there is not None:
                for name, (path, info, _) in there.items():
                    self._sizes[name, task.split] += info.num_bytes
                    if not on_one_disk(path, self._job.out):
                        self._copied[name] += info.num_bytes
                continue
            self.num_shards += 1
            new_bytes = 0
            for name in task.names:
                size = self._planned(name, task.rows)
                new_bytes += size
                self._sizes[name, task.split] += size
                self._new[name] += size
                self._copied[name] += 0 if linked else size
                if self._job.specs[name].compression:
                    self._largest = max(self._largest, size)
            previous = PreviousRows(task, self._plan.specs)
            missing = [(task.split, row) for row in task.rows if row.id not in previous]
            for split, row in missing:
                self._add(split, row)
            left_s = sum(row.duration_s for _, row in missing)
            self._unjoined.append((len(missing), left_s, new_bytes))
            for group in self._read_together(missing):
                self.audio.add(group)

    def _read_together(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Cut rows as workers take them, who keep decoders for what they have at a time."""
        task_s = self._job.run.task_s or LONGEST_TASK_S
        group: list[Row] = []
        group_s = 0.0
        for row in rows:
            group.append(row)
            group_s += row[1].duration_s
            if group_s >= task_s:
                yield group
                group, group_s = [], 0.0
        if group:
            yield group

    def _cut_into_tasks(self) -> None:
        """Count the tasks, and the interim shards that wait at a time to be joined."""
        self.task_s = task_seconds(self._job.run.task_s, self.left_s, self._num_workers)
        window_s = WINDOW_S if self._together_s else 2 * self._num_workers * self.task_s
        peak = InterimPeak(window_s)
        for num_rows, left_s, num_bytes in self._unjoined:
            number = max(1, min(num_rows, math.ceil(left_s / self.task_s))) if self.task_s else 1
            self.num_tasks += number
            if number > 1:
                peak.add(left_s, num_bytes)
        self.interim_bytes = peak.num_bytes

    def disks(self, num_workers: int) -> list[DiskNeed]:
        """Return what the run adds to the disks of the work folder and of the stores."""
        out = self._job.out
        work = out if on_one_disk(self._plan.work, out) else self._plan.work
        # a worker that compresses has a plain file beside the other; interim shards go once joined
        most = {work: sum(self._new.values()) + num_workers * self._largest + self.interim_bytes}
        least = {work: self._exact(self._new)}
        most[out] = most.get(out, 0) + sum(self._copied.values())
        least[out] = least.get(out, 0) + self._exact(self._copied)
        return [
            DiskNeed(
                folder=folder,
                num_bytes=most[folder],
                least_bytes=least[folder],
                free_bytes=free_bytes(folder),
            )
            for folder in most
        ]

    def _add(self, split: str, row: Utterance) -> None:
        self.num_left += 1
        self.left_s += row.duration_s
        if self.longest is None or row.duration_s > self.longest[1].duration_s:
            self.longest = split, row
        if row.sample_rate != self._job.extractor.framing.sample_rate:
            self.resampled_s += row.duration_s
        if self._together_s:
            self._batches.add(split, row)
        else:
            self._rows.add(split, row)

    def _look_at_rewritten(self, shard_bytes: int) -> None:
        """Lay out stores whose shards are cut anew, and written beside the finished ones."""
        self._sizes = Counter(dict.fromkeys(self._job.paths, 0))
        self._copied.clear()
        for name, split in self._job.paths:
            size = self._job.specs[name].frame_bytes
            value_bytes = functools.partial(_value_bytes, size, self._job.extractor.framing)
            rows = iter(self._plan.rows[split])
            for of_shard in cut_into_shards(rows, value_bytes, shard_bytes):
                num_bytes = self._planned(name, of_shard)
                self._sizes[name, split] += num_bytes
                self._copied[name] += num_bytes

    def _planned(self, name: str, rows: Sequence[Utterance]) -> int:
        laid = laid_out(rows, self._job.extractor.framing)
        return planned_bytes(self._job.specs[name], laid)

    def _exact(self, sizes: Counter[str]) -> int:
        return sum(size for name, size in sizes.items() if not is_bound(self._job, name))


def _value_bytes(frame_bytes: int, framing: Framing, row: Utterance) -> int:
    return frame_bytes * num_frames(row, framing)
