"""One run: every shard is taken over, found finished, or handed to a worker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from featbank.engine.earlier import EarlierShards
from featbank.engine.rows import SplitRows, cut_into_shards
from featbank.engine.tasks import ShardResult, ShardTask, Source, Tally
from featbank.engine.work import WorkFolder, shard_path
from featbank.engine.worker import ShardWorker
from featbank.errors import FeatbankError
from featbank.failures import Failure, allowed_failures, check_budget
from featbank.manifest import Utterance
from featbank.progress import Advance
from featbank.provenance import canonical_json
from featbank.runners.base import Runner
from featbank.store import ShardInfo, ShardSpec, shard_name

Numerics = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many utterances may fail, and where their list is left when more do.

    Args:
        max_failures: a number of utterances, or below 1 a share of them.
        path: of the list.
    """

    max_failures: float
    path: Path


@dataclass(slots=True)
class Outcome:
    """What a run has so far.

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


@dataclass(frozen=True, kw_only=True)
class ShardRun:
    """The shards of all splits, made by workers where they are not there yet.

    Args:
        rows: of each split.
        specs: of the shards, by feature name, with the numerics class of this process.
        value_bytes: what the values of a row weigh in the feature that shards are cut by.
        target_bytes: size around which shards are cut.
        work: takes what is finished.
        earlier: shards that may be taken over, by feature name.
        strict: take over nothing of another numerics class, and have no worker of one.
        budget: of failures.
    """

    rows: Mapping[str, SplitRows]
    specs: Mapping[str, ShardSpec]
    value_bytes: Callable[[Utterance], int]
    target_bytes: int
    work: WorkFolder
    earlier: Mapping[str, EarlierShards]
    strict: bool
    budget: Budget

    def __call__(
        self, make_worker: Callable[[], ShardWorker[Any]], runner: Runner, advance: Advance
    ) -> Outcome:
        """Make what is missing.

        Raises:
            FailureBudgetError: too many utterances failed. What is finished is kept.
            FeatbankError: a worker is of another numerics class, and that is not allowed.
        """
        outcome = Outcome()
        for split, rows in self.rows.items():
            outcome.failures[split] += rows.too_short
        self._check_budget(outcome)  # before days of computing, and after each shard
        with closing(runner.run(make_worker, self._left(outcome, advance), advance)) as results:
            for result in results:
                self._refuse_other_class(result)
                self._add(outcome, result, result.tally)
                self._check_budget(outcome)
        return outcome

    def _left(self, outcome: Outcome, advance: Advance) -> Iterator[ShardTask]:
        """Give the tasks that are left for workers; take in what is there already."""
        for split, rows in self.rows.items():
            for part in cut_into_shards(iter(rows), self.value_bytes, self.target_bytes):
                task = self._planned(split, part)
                before = self.work.finished(task)
                if before and not before.failures and self._allows(before.numerics):
                    self._add(outcome, before, _kept(before.shards, part))
                elif not self._take_over(outcome, task):
                    yield self._with_sources(task, before)
                    continue
                advance(sum(row.duration_s for row in part))

    def _planned(self, split: str, rows: Sequence[Utterance]) -> ShardTask:
        ids, digests = [row.id for row in rows], [row.input_digest for row in rows]
        return ShardTask(
            split=split,
            rows=rows,
            names={
                name: shard_name(spec.fingerprint, ids, digests)
                for name, spec in self.specs.items()
            },
            work=str(self.work.path),
        )

    def _take_over(self, outcome: Outcome, task: ShardTask) -> bool:
        """Take in shards of earlier stores that are made from exactly these rows, if all exist."""
        found: dict[str, tuple[Path, ShardInfo, Numerics]] = {}
        for name, shard in task.names.items():
            source = self.earlier[name].named(shard)
            mapped = self.earlier[name].open_whole(source) if source else None
            if source is None or mapped is None or not self._allows(mapped.spec.numerics):
                return False
            found[name] = (*source, mapped.spec.numerics)
        for name, (path, info, numerics) in found.items():
            outcome.add(task.split, name, path, replace(info, part=task.rows[0].part), numerics)
        outcome.tally += _kept(found, task.rows)
        return True

    def _with_sources(self, task: ShardTask, before: ShardResult | None) -> ShardTask:
        """Name what rows of a task may be copied from."""
        first, last, part = task.rows[0].id, task.rows[-1].id, task.rows[0].part
        sources: dict[str, list[Source]] = {
            name: list(earlier.overlapping(part, first, last))
            for name, earlier in self.earlier.items()
        }
        failed = {row.id for row in task.rows} & self._failed_before
        if before:
            failed |= {failure.id for failure in before.failures}
            for name, info in before.shards.items():
                sources[name].append((shard_path(task, name, info.name), info))
        return replace(task, sources=sources, failed_before=frozenset(failed))

    def _add(self, outcome: Outcome, result: ShardResult, tally: Tally) -> None:
        outcome.failures[result.split] += result.failures
        outcome.tally += tally
        for name, info in result.shards.items():
            path = self.work.path / name / info.name
            outcome.add(result.split, name, path, info, result.numerics)

    def _allows(self, numerics: Numerics) -> bool:
        return not self.strict or all(numerics == spec.numerics for spec in self.specs.values())

    def _refuse_other_class(self, result: ShardResult) -> None:
        if not self._allows(result.numerics):
            raise FeatbankError(
                "numerics class of a worker",
                expected=canonical_json(next(iter(self.specs.values())).numerics),
                got=canonical_json(result.numerics),
                hint="numerics=strict, and tokens straight from audio, need machines of one kind",
            )

    def _check_budget(self, outcome: Outcome) -> None:
        if sum(map(len, outcome.failures.values())) > self._num_allowed:
            check_budget(
                [failure for failures in outcome.failures.values() for failure in failures],
                total=self._num_utterances,
                max_failures=self.budget.max_failures,
                path=self.budget.path,
            )

    @cached_property
    def _num_utterances(self) -> int:
        return sum(rows.num_utterances for rows in self.rows.values())

    @cached_property
    def _num_allowed(self) -> int:
        return allowed_failures(self.budget.max_failures, self._num_utterances)

    @cached_property
    def _failed_before(self) -> frozenset[str]:
        return frozenset().union(*(earlier.failed for earlier in self.earlier.values()))


def _kept(shards: Mapping[str, object], rows: Sequence[Utterance]) -> Tally:
    return Tally(num_kept=len(rows), num_shards_kept=len(shards))
