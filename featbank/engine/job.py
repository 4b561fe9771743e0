"""A job: the stores that a run is to make, known before anything is computed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from featbank.base.notices import tell
from featbank.base.split_names import in_order, split_names
from featbank.engine.cutting import Cutter
from featbank.engine.definition import BuiltDefinition
from featbank.engine.pace import TaskPace
from featbank.engine.plan import ShardPlan
from featbank.engine.previous import PreviousShards
from featbank.engine.rows import SplitRows, batch_shape_of, num_frames
from featbank.engine.run import WHAT_FITS, Reuse, Run
from featbank.engine.tasks import INTERIM
from featbank.engine.upsampling import warn_of_upsampling
from featbank.engine.windows import WindowCutter
from featbank.engine.work import IsElsewhere, finished, nowhere, shard_path, work_name
from featbank.engine.worker import ShardWorker
from featbank.errors import ConfigError, StoreError
from featbank.features.base import Extractor
from featbank.numerics import CPU, Computing
from featbank.store import ShardSpec
from featbank.store.format import SPLITS_NAME
from featbank.store.replacing import refuse_other_content
from featbank.store.splits import read_splits, remove_other_splits, standing_splits

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The stores that a run is to make, and how.

    Args:
        run: that makes them.
        out: the stores are at `out/<name>/<split>`.
        definition: of the features, with an extractor of this process; workers build their own.
        specs: of the shards, by name of the stores, with the numerics class of this process.
        frame_bytes: of the feature that shards are cut by.
        target_bytes: size around which they are cut.
        make_worker: picklable; makes the worker of a process.
        shard_bytes: size around which the stores are cut, where they are written anew from the
            finished shards; None where these are the shards of the stores.
        merged: names of stores whose rows may be shorter than the features' frames.
    """

    run: Run
    out: Path
    definition: BuiltDefinition
    specs: Mapping[str, ShardSpec]
    frame_bytes: int
    target_bytes: int
    make_worker: Callable[[], ShardWorker[Any]]
    shard_bytes: int | None = None
    merged: frozenset[str] = frozenset()

    @property
    def extractor(self) -> Extractor:
        """What computes the features, in this process."""
        return self.definition.extractor

    @property
    def computing(self) -> Computing:
        """How workers compute: as the run says, but on the CPU what uses no device."""
        return self.definition.recipe.computing

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Of the corpus, each with a manifest."""
        return split_names(self.run.corpus.manifests)

    @property
    def paths(self) -> dict[tuple[str, str], Path]:
        """Where the stores are to be, by name and split."""
        return {
            (name, split): self.out / name / split for name in self.specs for split in self.splits
        }

    @property
    def work_folder(self) -> Path:
        """The folder, in that of the run, that finished shards go to."""
        return self.run.work / work_name(self.out, self.specs)

    def provenance(self, feature: str, split: str) -> Mapping[str, object]:
        """Return what the store of a feature and a split says of how it was made."""
        return self.definition.provenance(feature, self.run.corpus.stated(split))

    def refuse_in_vain(self, reuse: Reuse) -> None:
        """Refuse a job that would end in an error.

        Raises:
            ConfigError: workers need a GPU, and have none or share one unasked; or only shards of
                one numerics class are wanted, and this process cannot tell that class.
            StoreError: a store is there that holds something else, and must not be replaced.
        """
        for name, spec in self.specs.items():
            for split in standing_splits(self.out / name):
                path = self.out / name / split
                refuse_other_content(path, spec.fingerprint, overwrite=reuse.overwrite)
        if self.computing.device != CPU:
            self._refuse_without_gpu(reuse)

    def remove_other_splits(self) -> None:
        """Remove stores of splits that the corpus has no longer, once its own are published."""
        for name in self.specs:
            remove_other_splits(self.out / name, self.splits)

    def _refuse_without_gpu(self, reuse: Reuse) -> None:
        runner = self.run.runner
        if not runner.gives_gpu:
            raise ConfigError(
                "runner",
                expected="with device=cuda, a GPU for each worker",
                got=f"{type(runner).__name__} with none to give",
                hint="set runner.num_gpus, or for Slurm runner.gpus_per_node",
            )
        if reuse.is_strict and not self.computing.sees_device:
            raise ConfigError(
                "device of the process that starts the run",
                expected="a GPU such as the workers have",
                got="none",
                hint="numerics=strict, and tokens straight from audio, need all of one kind: start "
                "this in a job with such a GPU",
            )

    def plan(self, reuse: Reuse = WHAT_FITS, *, is_elsewhere: IsElsewhere = nowhere) -> ShardPlan:
        """Look at all rows, and at what is there already.

        Args:
            reuse: what may be taken over.
            is_elsewhere: tells which finished shards are safe though no file of them need be here.

        Raises:
            ManifestError: a manifest is missing, or a line is no row, or not in order.
        """
        tell(phase="looking for finished shards")
        framing, manifests = self.extractor.framing, self.run.corpus.manifests
        warn_of_upsampling(manifests, framing.sample_rate)
        roots = () if reuse.anew else (self.out, *reuse.previous)
        self._check_lists_of_splits(roots, reuse)
        previous = {
            name: PreviousShards(
                [
                    root / name / split
                    for root in roots
                    for split in in_order(standing_splits(root / name))
                ],
                spec,
                reuse.on_damage,
            )
            for name, spec in self.specs.items()
        }
        folder = self.work_folder
        results = finished(folder, anew=reuse.anew, is_elsewhere=is_elsewhere)
        there = {folder: results, folder / INTERIM: finished(folder / INTERIM)}
        for name, of_name in previous.items():
            of_name.add_finished(
                (shard_path(place, result.numerics, name, info.name), info)
                for place, in_place in there.items()
                for result in in_place.values()
                if (info := result.shards.get(name))
            )
        tell(phase="reading manifests")
        return ShardPlan(
            rows={split: SplitRows(manifests / f"{split}.jsonl", framing) for split in self.splits},
            specs=self.specs,
            value_bytes=lambda row: self.frame_bytes * num_frames(row, framing),
            target_bytes=self.target_bytes,
            work=folder,
            results=results,
            previous=previous,
            strict=reuse.is_strict,
            on_damage=reuse.on_damage,
            is_elsewhere=is_elsewhere,
        )

    def cutter(self, plan: ShardPlan) -> Cutter:
        """Return what cuts a plan of this job into tasks for the workers of its run."""
        splits = plan.rows.values()
        num_there = min(previous.num_utterances for previous in plan.previous.values())
        num_rows = sum(rows.num_utterances for rows in splits)
        pace = TaskPace(
            task_s=self.run.task_s,
            total_s=sum(rows.duration_s for rows in splits),
            missing_share=max(0.0, 1 - num_there / max(1, num_rows)),
            count_workers=lambda: self.run.runner.count_workers(),
        )
        together_s = self.computing.seconds_together
        if not together_s:
            return Cutter(plan, pace)
        return WindowCutter(plan, pace, lambda row: batch_shape_of(row, self.extractor, together_s))

    def _check_lists_of_splits(self, roots: Sequence[Path], reuse: Reuse) -> None:
        """Say so where what lists the splits of a previous store is damaged: it is made anew."""
        for splits in (root / name for root in roots for name in self.specs):
            try:
                read_splits(splits)
            except StoreError as error:  # DVC may have it damaged in its cache
                _log.warning("%s", error)
                reuse.on_damage(splits / SPLITS_NAME)
