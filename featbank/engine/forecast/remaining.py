"""Count what a plan leaves to compute, its size and its tasks; draw a sample of it to be timed."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from featbank.base.framing import Framing
from featbank.base.manifest import Utterance
from featbank.engine.cutting import Cutter, ShardWindow, missing_rows
from featbank.engine.forecast.drawing import BatchSample, DrawnBatch, Row, RowSample
from featbank.engine.forecast.interim import WaitingBytes
from featbank.engine.forecast.kinds import AudioLeft
from featbank.engine.growth import told_rewriting
from featbank.engine.job import Job
from featbank.engine.plan import ShardPlan
from featbank.engine.rows import batch_shape_of, cut_into_shards, laid_out, num_frames
from featbank.engine.space import DiskNeed, is_bound, on_one_disk
from featbank.engine.tasks import ShardTask, Tally
from featbank.files.disk import free_bytes
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
    """What a plan leaves to compute, counted as a run cuts it into tasks, in one pass.

    Attributes:
        num_left: utterances to compute.
        left_s: of these, in seconds.
        longest: of these; None where there is none.
        audio: of these, by the kind of their files.
        resampled_s: of these, whose files have another rate than the extractor.
        num_workers: that the runner would have at a time.
        interim_bytes: of shards that wait at a time to be joined, at most.
        num_tasks: into which workers' computing is cut.
        num_shards: that workers have to make.
    """

    def __init__(self, job: Job, plan: ShardPlan) -> None:
        """Look at every shard.

        Args:
            job: what is to be made.
            plan: of the job.

        Raises:
            FeatbankError: the runner has no room for its workers.
        """
        self._job = job
        self._plan = plan
        self._together_s = job.computing.seconds_together
        self._rows = RowSample(_SAMPLE_ROWS)
        self._batches = BatchSample(
            lambda row: batch_shape_of(row, job.extractor, self._together_s)
        )
        self.audio = AudioLeft()
        self.resampled_s = 0.0
        self._new: Counter[str] = Counter()  # bytes of shards to be made, by name
        self._copied: Counter[str] = Counter()  # bytes of shards that cannot be linked
        self._largest = 0  # shard to be compressed
        self.num_left = self.num_tasks = self.num_shards = 0
        self._num_in_new = self._num_kept = self._num_shards_kept = 0  # utterances; shards
        self.left_s = 0.0
        self.longest: Row | None = None
        self._sizes = Counter(dict.fromkeys(job.paths, 0))  # of the stores, by name and split
        cutter = job.cutter(plan)
        self.num_workers = cutter.pace.num_workers
        self.interim_bytes = self._look_at_tasks(cutter)
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
    def tally(self) -> Tally:
        """What will be computed, copied and kept, with one shard for all that are made together."""
        return Tally(
            num_computed=self.num_left,
            num_copied=self._num_in_new - self.num_left,
            num_kept=self._num_kept,
            num_shards_written=self.num_shards,
            num_shards_kept=self._num_shards_kept,
            computed_s=self.left_s,
        )

    @property
    def upload_bytes(self) -> int:
        """Bytes of the shards that no previous store has: what `dvc push` sends of them."""
        changed = self._new if self._job.shard_bytes is None else self._copied
        return sum(changed.values())

    @property
    def rewriting(self) -> str | None:
        """Why much is written and sent again; None where it is not, or no store was there."""
        if not any(previous.num_bytes for previous in self._plan.previous.values()):
            return None  # what is copied a stopped run has left
        return told_rewriting(self.tally, self.upload_bytes)

    def _look_at_tasks(self, cutter: Cutter) -> int:
        """Count what workers compute; return the most bytes of interim shards at a time."""
        # a device joins one window while it computes the next; else shards wait for each worker
        waiting = WaitingBytes(2 if cutter.joins_beside else self.num_workers + 1)
        for window in cutter.windows(self._to_make()):
            num_bytes = self._look_at(window)
            if window.shards:
                waiting.add(num_bytes)
        return waiting.most

    def _look_at(self, window: ShardWindow) -> int:
        """Count the tasks of a window; return the bytes of its interim shards."""
        num_bytes = 0
        for workload in window.workloads:
            group: list[Row] = []  # whose decoders wait for each other's files
            for task in workload.tasks:
                self.num_tasks += 1
                rows, _ = missing_rows(self._plan, task)
                group += [(task.split, row) for row in rows]
                if task.is_interim:
                    num_bytes += sum(self._planned(name, task.rows) for name in task.names)
            for split, row in group:
                self._add(split, row)
            self.audio.add(group)
        return num_bytes

    def _to_make(self) -> Iterator[ShardTask]:
        """Give the shards that workers have to make; count the bytes of all."""
        linked = on_one_disk(self._plan.work, self._job.out)
        for task, there in self._plan:
            if there is not None:
                self._num_kept += len(task.rows)
                self._num_shards_kept += 1
                for name, (path, info, _) in there.items():
                    self._sizes[name, task.split] += info.num_bytes
                    if not on_one_disk(path, self._job.out):
                        self._copied[name] += info.num_bytes
                continue
            self.num_shards += 1
            self._num_in_new += len(task.rows)
            for name in task.names:
                size = self._planned(name, task.rows)
                self._sizes[name, task.split] += size
                self._new[name] += size
                self._copied[name] += 0 if linked else size
                if self._job.specs[name].compression:
                    self._largest = max(self._largest, size)
            yield task

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
        if row.played_rate != self._job.extractor.framing.sample_rate:
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
