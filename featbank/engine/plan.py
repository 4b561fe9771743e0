"""Plan the shards of a job: which of them exist already, and which a worker has to make."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from featbank.base.manifest import Utterance
from featbank.engine.previous import PreviousShards, shard_problem
from featbank.engine.rows import SplitRows, cut_into_shards, task_numerics
from featbank.engine.run import OnDamage
from featbank.engine.tasks import ShardResult, ShardTask, Source, shard_task
from featbank.engine.work import IsElsewhere, nowhere, shard_path
from featbank.numerics import as_here
from featbank.store import Numerics, ShardInfo, ShardSpec

_log = logging.getLogger(__name__)

_THREADS = 4  # read shards that are there: more than one, for a disk far away answers late
_AHEAD = 16  # tasks whose shards are being read

ThereAlready = Mapping[str, tuple[Path, ShardInfo, Numerics]]
"""The shards of a task by feature name: the file, what a header lists of it, its class."""


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """The shards of all splits, each there already or a task for a worker. Nothing is written.

    Args:
        rows: of each split.
        specs: of the shards, by feature name, with the numerics class of this process.
        value_bytes: what the values of a row weigh in the feature that shards are cut by.
        target_bytes: size around which shards are cut.
        work: folder of what is finished.
        results: of previous runs in there, by the keys of their tasks.
        previous: shards that may be taken over, by feature name.
        strict: take over nothing of another numerics class.
        on_damage: told each shard that should be there and is damaged.
        is_elsewhere: tells which finished shards are safe though no file of them need be here.
    """

    rows: Mapping[str, SplitRows]
    specs: Mapping[str, ShardSpec]
    value_bytes: Callable[[Utterance], int]
    target_bytes: int
    work: Path
    results: Mapping[str, ShardResult]
    previous: Mapping[str, PreviousShards]
    strict: bool
    on_damage: OnDamage = lambda _: None
    is_elsewhere: IsElsewhere = nowhere

    def verified(self) -> Iterator[tuple[ShardTask, ThereAlready | None]]:
        """Give each task, with its shards where these are there and all their bytes as written.

        A damaged shard is a task for a worker, which copies the sound rows of it. Tasks that are
        workers' anyway are given at once, in front of those whose shards are being read.
        """
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as threads:
            waiting: deque[tuple[ShardTask, ThereAlready, Future[dict[Path, str]]]] = deque()
            try:
                for task, there in self:
                    if there is None:
                        yield task, None
                        continue
                    waiting.append((task, there, threads.submit(self._problems, there)))
                    if len(waiting) > _AHEAD:
                        yield self._unless_damaged(*waiting.popleft())
                while waiting:
                    yield self._unless_damaged(*waiting.popleft())
            finally:
                threads.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[ShardTask, ThereAlready | None]]:
        """Give each task, with its shards where these seem to be there; none is read."""
        for split, rows in self.rows.items():
            for of_shard in cut_into_shards(iter(rows), self.value_bytes, self.target_bytes):
                task = shard_task(self.specs, split, of_shard, self.work)
                before = self.results.get(task.key)
                there = self._finished(task, before) or self._taken_over(task)
                yield (task, there) if there else (self._with_sources(task, before), None)

    def allows(self, numerics: Numerics) -> bool:
        """Tell whether a shard of some numerics class may be among these."""
        return not self.strict or numerics == as_here(numerics, self.numerics)

    @property
    def numerics(self) -> Numerics:
        """The class of this process."""
        return next(iter(self.specs.values())).numerics

    def _is_class_of(self, task: ShardTask, numerics: Numerics) -> bool:
        """Tell whether shards of a task may be of a class: where it matters, they are of theirs."""
        framed = self.rows[task.split].framing
        return not self.strict or numerics == task_numerics(self.numerics, task.rows, framed)

    def _problems(self, there: ThereAlready) -> dict[Path, str]:
        """Read shards; return what is wrong with those that are damaged."""
        found = {
            path: shard_problem(path, self.specs[name], info)
            for name, (path, info, _) in there.items()
            if not self.is_elsewhere(path, info)
        }
        return {path: problem for path, problem in found.items() if problem}

    def _unless_damaged(
        self, task: ShardTask, there: ThereAlready, problems: Future[dict[Path, str]]
    ) -> tuple[ShardTask, ThereAlready | None]:
        found = problems.result()
        for path, problem in found.items():
            _log.warning("%s is not taken over, and made again: %s", path, problem)
            self.on_damage(path)
        if not found:
            return task, there
        return self._with_sources(task, self.results.get(task.key)), None

    def _finished(self, task: ShardTask, before: ShardResult | None) -> ThereAlready | None:
        """Return the shards of a previous run; None where a row failed, for it is tried again."""
        if not before or before.failures or not self._is_class_of(task, before.numerics):
            return None
        part = task.rows[0].part  # which may have changed since: no name of a shard tells it
        return {
            name: (
                shard_path(self.work, before.numerics, name, info.name),
                replace(info, part=part),
                before.numerics,
            )
            for name, info in before.shards.items()
        }

    def _taken_over(self, task: ShardTask) -> ThereAlready | None:
        """Return shards of previous stores that are made from exactly these rows, if all exist."""
        found: dict[str, tuple[Path, ShardInfo, Numerics]] = {}
        for name, shard in task.names.items():
            source = self.previous[name].named(shard)
            mapped = self.previous[name].open_whole(source) if source else None
            if source is None or mapped is None:
                return None
            if not self._is_class_of(task, mapped.spec.numerics):
                return None
            path, info = source
            found[name] = path, replace(info, part=task.rows[0].part), mapped.spec.numerics
        return found

    def _with_sources(self, task: ShardTask, before: ShardResult | None) -> ShardTask:
        """Name what rows of a task may be copied from."""
        first, last, part = task.rows[0].id, task.rows[-1].id, task.rows[0].part
        sources: dict[str, list[Source]] = {
            name: list(previous.overlapping(part, first, last))
            for name, previous in self.previous.items()
        }
        failed = {row.id for row in task.rows} & self._failed_before
        if before:
            failed |= {failure.id for failure in before.failures}
        return replace(task, sources=sources, failed_before=frozenset(failed))

    @cached_property
    def _failed_before(self) -> frozenset[str]:
        return frozenset().union(*(previous.failed for previous in self.previous.values()))
