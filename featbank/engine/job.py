"""What a run makes of the audio of a corpus: known before it begins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featbank.base.manifest import SPLITS
from featbank.engine.earlier import EarlierShards, OnDamage
from featbank.engine.plan import ShardPlan
from featbank.engine.rows import SplitRows, num_frames
from featbank.engine.upsampling import warn_of_upsampling
from featbank.engine.work import finished, shard_path, work_name
from featbank.engine.worker import ShardWorker
from featbank.errors import ConfigError, StoreError
from featbank.feature_io import PackedStorage
from featbank.features.base import Extractor
from featbank.numerics import CPU, Computing
from featbank.runners.base import Runner
from featbank.store import ShardSpec
from featbank.store.format import SPLITS_NAME
from featbank.store.replacing import refuse_other_content
from featbank.store.splits import read_splits

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The stores that a run is to make, and how.

    Args:
        out: the stores are at `out/<name>/<split>`.
        extractor: computes the features; workers build their own.
        entries: how each feature is stored, or would be, by feature name.
        described: what determines the values of the extractor.
        specs: of the shards, by name of the stores, with the numerics class of this process.
        frame_bytes: of the feature that shards are cut by.
        target_bytes: size around which they are cut.
        computing: device, threads, and seconds of audio together.
        make_worker: picklable; makes the worker of a process.
        shard_bytes: size around which the stores are cut, where they are written anew from the
            finished shards; None where these are the shards of the stores.
        merged: names of stores whose rows may be shorter than the features' frames.
    """

    out: Path
    extractor: Extractor
    entries: Mapping[str, PackedStorage]
    described: Mapping[str, Any]
    specs: Mapping[str, ShardSpec]
    frame_bytes: int
    target_bytes: int
    computing: Computing
    make_worker: Callable[[], ShardWorker[Any]]
    shard_bytes: int | None = None
    merged: frozenset[str] = frozenset()

    @property
    def paths(self) -> dict[tuple[str, str], Path]:
        """Where the stores are, by name and split."""
        return {(name, split): self.out / name / split for name in self.specs for split in SPLITS}

    def refuse_other_content(self, *, overwrite: bool) -> None:
        """Refuse to replace stores that hold something else.

        Raises:
            StoreError: one is there, and `overwrite` is false.
        """
        for (name, _), path in self.paths.items():
            refuse_other_content(path, self.specs[name].fingerprint, overwrite=overwrite)

    def refuse_without_gpu(self, runner: Runner, *, strict: bool) -> None:
        """Refuse to begin where workers need a GPU, and have none or share one unasked.

        Raises:
            ConfigError: the runner gives workers none; or only shards of one numerics class are
                wanted, and this process cannot tell that class.
        """
        if self.computing.device == CPU:
            return
        if not runner.gives_gpu:
            raise ConfigError(
                "runner",
                expected="with device=cuda, a GPU for each worker",
                got=f"{type(runner).__name__} with none to give",
                hint="set runner.num_gpus, or for Slurm runner.gpus_per_node",
            )
        if strict and not self.computing.sees_device:
            raise ConfigError(
                "device of the process that starts the run",
                expected="a GPU such as the workers have",
                got="none",
                hint="numerics=strict, and tokens straight from audio, need all of one kind: start "
                "this in a job with such a GPU",
            )

    def work_folder(self, work: Path) -> Path:
        """Return the folder, in that of a stage, that finished shards go to."""
        return work / work_name(self.out, self.specs)

    def plan(
        self,
        *,
        manifests: Path,
        folder: Path,
        previous: Sequence[Path],
        strict: bool,
        anew: bool = False,
        on_damage: OnDamage = lambda _: None,
    ) -> ShardPlan:
        """Look at all rows, and at what is there already.

        Args:
            manifests: folder with a manifest a split.
            folder: of what is finished: a work folder.
            previous: folders like `out`, which hold earlier stores.
            strict: have nothing of another numerics class.
            anew: have nothing of earlier stores.
            on_damage: told each damaged file of what is there already.

        Raises:
            ManifestError: a manifest is missing, or a line is no row, or not in order.
        """
        framing = self.extractor.framing
        warn_of_upsampling(manifests, framing.sample_rate)
        roots = () if anew else (self.out, *previous)
        for splits in (root / name for root in roots for name in self.specs):
            try:
                read_splits(splits)
            except StoreError as error:  # it is written anew, but DVC may have it damaged
                _log.warning("%s", error)
                on_damage(splits / SPLITS_NAME)
        earlier = {
            name: EarlierShards(
                [root / name / split for root in roots for split in SPLITS], spec, on_damage
            )
            for name, spec in self.specs.items()
        }
        results = finished(folder, anew=anew)
        for name, of_name in earlier.items():
            of_name.add_finished(
                (shard_path(folder, result.numerics, name, info.name), info)
                for result in results.values()
                if (info := result.shards.get(name))
            )
        return ShardPlan(
            rows={split: SplitRows(manifests / f"{split}.jsonl", framing) for split in SPLITS},
            specs=self.specs,
            value_bytes=lambda row: self.frame_bytes * num_frames(row, framing),
            target_bytes=self.target_bytes,
            work=folder,
            results=results,
            earlier=earlier,
            strict=strict,
            on_damage=on_damage,
        )
