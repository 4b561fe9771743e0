"""Drive a run: each shard is reused, found finished, or computed by a worker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from featbank.audio import forget_groups
from featbank.base.failures import Failure, allowed_failures, check_budget
from featbank.base.notices import AT_WORK, tell
from featbank.base.progress import Advance
from featbank.engine.cutting import Cutter, audio_s
from featbank.engine.job import Job
from featbank.engine.plan import ShardPlan
from featbank.engine.run import Budget
from featbank.engine.shelving import Shelf, Shelving
from featbank.engine.space import warn_of_full_disk
from featbank.engine.supply import Supply
from featbank.engine.tasks import ShardResult, ShardTask, Tally
from featbank.engine.work import shard_path
from featbank.engine.worker import ShardWorker
from featbank.errors import FeatbankError
from featbank.files.provenance import canonical_json
from featbank.numerics import as_here
from featbank.runners.base import Runner
from featbank.store import Numerics, ShardInfo, StoreHeader


@dataclass(slots=True)
class MadeShards:
    """The shards and failures that a run has collected so far.

    Attributes:
        shards: by feature name and split, each with the file that holds it.
        failures: by split.
        numerics: the classes found in the shards, by split and canonical JSON.
        tally: what it took.
    """

    shards: dict[tuple[str, str], list[tuple[Path, ShardInfo]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    failures: dict[str, list[Failure]] = field(default_factory=lambda: defaultdict(list))
    numerics: dict[str, dict[str, Numerics]] = field(default_factory=lambda: defaultdict(dict))
    tally: Tally = field(default_factory=Tally)

    def add(self, split: str, name: str, path: Path, info: ShardInfo, numerics: Numerics) -> None:
        """Take in a shard."""
        self.shards[name, split].append((path, info))
        self.numerics[split][canonical_json(numerics)] = numerics

    def shards_of(self, name: str, split: str) -> tuple[ShardInfo, ...]:
        """Return the shards of a store, in its order."""
        infos = (info for _, info in self.shards[name, split])
        return tuple(sorted(infos, key=lambda info: (info.part, info.first_id)))

    def numerics_of(self, split: str) -> tuple[Numerics, ...]:
        """Return the numerics classes of a split's shards, in order."""
        return tuple(self.numerics[split][key] for key in sorted(self.numerics[split]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The stores that a run has published, and how much was computed for them.

    Args:
        headers: of the stores, one a name and split.
        tally: what was computed, and what was taken over.
    """

    headers: Sequence[StoreHeader]
    tally: Tally


def compute_shards(job: Job, plan: ShardPlan, shelf: Shelf | None = None) -> MadeShards:
    """Have workers make the shards of a plan that are not there yet; see `ShardRun`."""
    if shelf is None:
        warn_of_full_disk(job, plan)
    run = job.run
    made = ShardRun(plan=plan, cutter=job.cutter(plan), budget=run.budget, shelf=shelf)
    try:
        return made(job.make_worker, run.runner, run.advance)
    finally:
        forget_groups()  # which a worker in this process has kept from task to task


@dataclass(frozen=True, kw_only=True)
class ShardRun:
    """The shards of a plan, made by workers where they are not there yet.

    Args:
        plan: which has no worker of another numerics class where it is strict.
        cutter: of the plan.
        budget: of failures.
        shelf: that all shards go to; None where they stay until they are published.
    """

    plan: ShardPlan
    cutter: Cutter
    budget: Budget
    shelf: Shelf | None = None

    def __call__(
        self, make_worker: Callable[[], ShardWorker[Any]], runner: Runner, advance: Advance
    ) -> MadeShards:
        """Make what is missing.

        Raises:
            FailureBudgetError: too many utterances failed. What is finished is kept.
            FeatbankError: a worker is of another numerics class, and that is not allowed; or the
                runner lost a shard.
            ManifestError: a manifest has changed meanwhile.
        """
        outcome = MadeShards()
        for split, rows in self.plan.rows.items():
            outcome.failures[split] += rows.too_short
            tell(failures=len(rows.too_short))
        self._check_budget(outcome)  # before days of computing, and after each shard
        supply = Supply(self.cutter, self._left(outcome, advance))
        with closing(runner.run(make_worker, supply.workloads(), advance)) as results:
            for result in chain.from_iterable(results):
                self._refuse_other_class(result)
                self._add(outcome, result, supply.take(result))
                self._check_budget(outcome)
        self._check_whole(outcome)
        return outcome

    def _left(self, outcome: MadeShards, advance: Advance) -> Iterator[ShardTask]:
        """Give the shards that are left for workers; take in what is there already."""
        for task, there in self.plan.verified():
            if there is None:
                self._shelving.lend(task)
                yield task
                continue
            if not outcome.tally.num_kept:
                tell(phase=AT_WORK)
            for name, (path, info, numerics) in there.items():
                path = self._shelving.shelve(name, path, info, numerics)
                outcome.add(task.split, name, path, info, numerics)
            outcome.tally += Tally(num_kept=len(task.rows), num_shards_kept=len(there))
            there_s = audio_s(task.rows)
            self.cutter.pace.see(there_s, missing_s=0)
            tell(reused=there_s)
            advance(there_s)

    def _add(
        self, outcome: MadeShards, result: ShardResult, new_failures: Sequence[Failure]
    ) -> None:
        outcome.failures[result.split] += new_failures
        outcome.tally += result.tally
        if result.is_interim:
            return
        for name, info in result.shards.items():
            path = shard_path(self.plan.work, result.numerics, name, info.name)
            self._shelving.shelve(name, path, info, result.numerics)
            outcome.add(result.split, name, path, info, result.numerics)
        self._shelving.take_back(result)

    def _refuse_other_class(self, result: ShardResult) -> None:
        if not self.plan.allows(result.numerics):
            raise FeatbankError(
                "numerics class of a worker",
                expected=canonical_json(as_here(result.numerics, self.plan.numerics)),
                got=canonical_json(result.numerics),
                hint="numerics=strict, and tokens straight from audio, need machines of one kind",
            )

    def _check_whole(self, outcome: MadeShards) -> None:
        """Refuse an outcome that lacks a row: each is in every store of its split, or failed."""
        for split, rows in self.plan.rows.items():
            rows.check()
            for name in self.plan.specs:
                stored = sum(info.num_utterances for _, info in outcome.shards[name, split])
                if stored + len(outcome.failures[split]) != rows.num_utterances:
                    raise FeatbankError(
                        f"shards of {name}, split {split}",
                        expected=f"{rows.num_utterances} utterances with those that failed",
                        got=f"{stored} and {len(outcome.failures[split])} failures",
                        hint="the runner lost some: what is finished is kept, run again",
                    )

    def _check_budget(self, outcome: MadeShards) -> None:
        if sum(map(len, outcome.failures.values())) > self._num_allowed:
            check_budget(
                [failure for failures in outcome.failures.values() for failure in failures],
                total=self._num_utterances,
                max_failures=self.budget.max_failures,
                path=self.budget.path,
                so_far=True,
            )

    @cached_property
    def _shelving(self) -> Shelving:
        return Shelving(self.shelf, self.plan.work)

    @cached_property
    def _num_utterances(self) -> int:
        return sum(rows.num_utterances for rows in self.plan.rows.values())

    @cached_property
    def _num_allowed(self) -> int:
        return allowed_failures(self.budget.max_failures, self._num_utterances)
