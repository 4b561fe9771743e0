"""Supply workers with tasks: what computes rows, then what joins them into shards of the stores."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from featbank.base.failures import Failure
from featbank.engine.cutting import Cutter, ShardWindow
from featbank.engine.tasks import ShardResult, ShardTask, Source, Workload
from featbank.engine.work import drop_spent, drop_task, shard_path
from featbank.errors import FeatbankError
from featbank.files.provenance import canonical_json
from featbank.numerics import with_audio
from featbank.runners.base import NOT_YET, NotYet

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Open:
    """Shards whose rows are being computed, and what has come of these so far."""

    shards: tuple[ShardTask, ...]  # to be joined
    spent: tuple[Path, ...]  # removed with the interim shards
    tasks: list[ShardTask] = field(default_factory=list)  # done
    results: list[ShardResult] = field(default_factory=list)
    num_out: int = 0  # tasks
    num_joins: int = 0  # shards that are not made yet
    is_cut: bool = False


class Supply:
    """Gives workloads as a runner asks for them, and takes in what came of their tasks.

    Open at a time are the shards whose tasks are out, few more than there are workers. An interim
    shard is removed once all the shards that it was made for are there.
    """

    def __init__(self, cutter: Cutter, shards: Iterable[ShardTask]) -> None:
        """Begin a run.

        Args:
            cutter: cuts what shards lack.
            shards: that workers have to make, taken as they are asked for.
        """
        self._cutter = cutter
        self._shards = shards
        self._computing: dict[tuple[str, str], tuple[_Open, ShardTask]] = {}  # by split and key
        self._joining: dict[tuple[str, str], tuple[_Open, ShardTask]] = {}
        self._joins: deque[ShardTask] = deque()
        self._num_unjoined = 0
        self._classes: set[str] = set()

    def workloads(self) -> Iterator[Workload | NotYet]:
        """Give joining tasks first, then the next ones that compute; see `Runner.run`."""
        for window in self._cutter.windows(self._shards):
            yield from self._window(window)
        while self._joins or self._num_unjoined:
            if self._joins:
                yield from self._ready()
            else:
                yield NOT_YET

    def take(self, result: ShardResult) -> tuple[Failure, ...]:
        """Take in the result of a task; return the failures that are news.

        Raises:
            FeatbankError: no such task is out.
        """
        key = result.split, result.key
        self._cutter.pace.learn(result.tally.computed_s, result.wall_s)
        self._watch_classes(result)
        if key in self._computing:
            opened, task = self._computing.pop(key)
            opened.num_out -= 1
            opened.tasks.append(task)
            opened.results.append(result)
            self._settle(opened)
            return result.failures
        if key not in self._joining:
            raise FeatbankError(
                "a result from the runner", expected="one of each task", got=f"a second of {key}"
            )
        opened, shard = self._joining.pop(key)
        opened.num_joins -= 1
        self._settle(opened)
        known = {failure.id for failure in shard.failed}
        return tuple(failure for failure in result.failures if failure.id not in known)

    def _window(self, window: ShardWindow) -> Iterator[Workload]:
        opened = _Open(window.shards, window.spent)
        self._num_unjoined += bool(window.shards)
        for workload in window.workloads:
            for task in workload.tasks:
                if task.is_interim:
                    self._computing[task.split, task.key] = opened, task
                    opened.num_out += 1
                else:
                    self._joining[task.split, task.key] = opened, task
                    opened.num_joins += 1
            if self._cutter.joins_beside:
                yield replace(workload, beside=self._some_joins())
            else:
                yield from self._ready()
                yield workload
        opened.is_cut = True
        self._settle(opened)

    def _ready(self) -> Iterator[Workload]:
        while self._joins:
            yield Workload(tasks=(self._joins.popleft(),))

    def _some_joins(self) -> tuple[ShardTask, ...]:
        """Take one worker's share of the joins that are ready."""
        share = -(-len(self._joins) // self._cutter.pace.num_workers)
        return tuple(self._joins.popleft() for _ in range(share))

    def _settle(self, opened: _Open) -> None:
        """Have shards joined once all their rows are computed, and then clear up behind them."""
        if not opened.is_cut or opened.num_out or opened.num_joins:
            return
        if opened.shards:
            self._num_unjoined -= 1
            for shard in opened.shards:
                join = self._join(shard, opened)
                self._joining[shard.split, shard.key] = opened, join
                self._joins.append(join)
            opened.num_joins, opened.shards = len(opened.shards), ()
            return
        for task, result in zip(opened.tasks, opened.results, strict=True):
            drop_task(task, result)
        for path in opened.spent:
            drop_spent(path)
        opened.tasks, opened.results, opened.spent = [], [], ()

    def _join(self, shard: ShardTask, opened: _Open) -> ShardTask:
        first, last = shard.rows[0].id, shard.rows[-1].id
        interim: dict[str, list[Source]] = {name: [] for name in shard.names}
        failures: list[Failure] = []
        for task, result in zip(opened.tasks, opened.results, strict=True):
            if task.split != shard.split or task.rows[0].part != shard.rows[0].part:
                continue
            failures += result.failures
            for name, info in result.shards.items():
                if info.first_id <= last and first <= info.last_id:
                    path = shard_path(task.work, result.numerics, name, info.name)
                    interim[name].append((path, info))
        if failures:
            ids = {row.id for row in shard.rows}
            failures = [failure for failure in failures if failure.id in ids]
        return replace(shard, interim=interim, failed=tuple(failures))

    def _watch_classes(self, result: ShardResult) -> None:
        """Cut no more shards where workers differ: none copies what another has computed."""
        self._classes.add(canonical_json(with_audio(result.numerics, ())))
        if len(self._classes) > 1 and not self._cutter.keeps_whole:
            self._cutter.keeps_whole = True
            _log.warning(
                "workers are of several numerics classes, and a shard is of one: from now on each "
                "is made by one worker, and one that is killed loses what it has of its shard"
            )
