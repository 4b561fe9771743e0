"""Count what a plan leaves to compute, and its size; draw a sample of it to be timed."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappush, heappushpop

from xxhash import xxh3_64_intdigest

from featbank.base.framing import Framing
from featbank.base.manifest import Utterance
from featbank.engine.forecast.timing import Row
from featbank.engine.job import Job
from featbank.engine.plan import ShardPlan
from featbank.engine.previous_rows import PreviousRows
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
        num_tasks: shards that workers have to make.
    """

    def __init__(self, job: Job, plan: ShardPlan) -> None:
        """Look at every shard.

        Args:
            job: what is to be made.
            plan: of the job.
        """
        self._job = job
        self._plan = plan
        self._heap: list[tuple[int, str, str, Utterance]] = []  # the rows drawn
        self._new: Counter[str] = Counter()  # bytes of shards to be made, by name
        self._copied: Counter[str] = Counter()  # bytes of shards that cannot be linked
        self._largest = 0  # shard to be compressed
        self.num_left = self.num_tasks = 0
        self.left_s = 0.0
        self.longest: Row | None = None
        self._sizes = Counter(dict.fromkeys(job.paths, 0))  # of the stores, by name and split
        self._look()
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
    def drawn(self) -> list[Row]:
        """Utterances that are left, in an order of chance that is always the same."""
        return [(split, row) for _, _, split, row in sorted(self._heap, reverse=True)]

    def _look(self) -> None:
        linked = on_one_disk(self._plan.work, self._job.out)
        for task, there in self._plan:
            if there is not None:
                for name, (path, info, _) in there.items():
                    self._sizes[name, task.split] += info.num_bytes
                    if not on_one_disk(path, self._job.out):
                        self._copied[name] += info.num_bytes
                continue
            self.num_tasks += 1
            for name in task.names:
                size = self._planned(name, task.rows)
                self._sizes[name, task.split] += size
                self._new[name] += size
                self._copied[name] += 0 if linked else size
                if self._job.specs[name].compression:
                    self._largest = max(self._largest, size)
            previous = PreviousRows(task, self._plan.specs)
            for row in task.rows:
                if row.id not in previous:
                    self._add(task.split, row)

    def disks(self, num_workers: int) -> list[DiskNeed]:
        """Return what the run adds to the disks of the work folder and of the stores."""
        out = self._job.out
        work = out if on_one_disk(self._plan.work, out) else self._plan.work
        # a worker that compresses has a plain file beside the other
        most = {work: sum(self._new.values()) + num_workers * self._largest}
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
        push = heappush if len(self._heap) < _SAMPLE_ROWS else heappushpop
        push(self._heap, (-xxh3_64_intdigest(row.id.encode()), row.id, split, row))

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
