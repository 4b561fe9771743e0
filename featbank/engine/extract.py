"""Extraction: manifests and an extractor in, feature stores out."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featbank.base.progress import Advance
from featbank.engine.description import feature_provenance
from featbank.engine.driver import Budget, Outcome, ShardRun
from featbank.engine.earlier import OnDamage
from featbank.engine.feature_worker import FeatureWorker, shard_specs
from featbank.engine.job import Job
from featbank.engine.recipe import define
from featbank.engine.space import warn_of_full_disk
from featbank.engine.tasks import Tally
from featbank.engine.work import WorkFolder, put
from featbank.errors import ConfigError
from featbank.feature_io import PackedStorage
from featbank.features.base import Extractor, Output
from featbank.numerics import ON_CPU, Computing, as_here
from featbank.runners.base import Runner
from featbank.store import StoreBuilder, StoreHeader, publish_together

_log = logging.getLogger(__name__)

STRICT, ANY = "strict", "any"
"""May shards of another numerics class be taken over?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What an extraction gave.

    Args:
        headers: of the stores, a feature name and split each.
        tally: what was computed, and what was taken over.
    """

    headers: Sequence[StoreHeader]
    tally: Tally


def extract(
    *,
    manifests: Path,
    audio_root: Path,
    out: Path,
    extractor: Mapping[str, Any],
    storage: Sequence[PackedStorage],
    corpus: Mapping[str, Any],
    runner: Runner,
    work: Path,
    failures_path: Path,
    keep_work: bool = False,
    max_failures: float = 0,
    overwrite: bool = False,
    anew: bool = False,
    previous: Sequence[Path] = (),
    on_damage: OnDamage = lambda _: None,
    numerics: str = ANY,
    computing: Computing = ON_CPU,
    trusted_modules: Sequence[str] = (),
    check_outputs: Callable[[Mapping[str, Output]], None] = lambda _: None,
    advance: Advance = lambda _: None,
) -> Extraction:
    """Compute the features of all splits of a corpus and publish a store for each name and split.

    What is there already is not computed again: finished shards of a run that was stopped, and
    shards and rows of stores that were made in the same way.

    Args:
        manifests: folder with a manifest a split.
        audio_root: folder that the manifests' paths are relative to.
        out: the stores go to `out/<feature name>/<split>`.
        extractor: `_target_` and its arguments.
        storage: one entry for each feature name of the extractor.
        corpus: what the header says of the corpus: name and licence, never counts, which change.
        runner: spreads the shards over workers.
        work: folder for finished shards until all are published, in a folder of the run's own.
        failures_path: where the failure list goes when it is over the budget.
        keep_work: leave the work folder, as second names of the published shards, until
            `featbank.engine.work.drop_published` finds them safe elsewhere.
        max_failures: a number of utterances, or below 1 a share of them.
        overwrite: replace stores that hold something else.
        anew: take nothing over from earlier stores; what a stopped run has finished, and is in
            none yet, is gone on with.
        previous: folders like `out`, which hold earlier stores.
        on_damage: told each damaged file of what would have been taken over.
        numerics: `strict` takes nothing over from machines of another numerics class, `any` does.
        computing: device, threads, and seconds of audio together.
        trusted_modules: packages beside featbank that `_target_` may name.
        check_outputs: told what a frame of each feature is, before any work; may raise.
        advance: told the seconds of audio done.

    Raises:
        FailureBudgetError: too many utterances failed; no store is published.
        StoreError: a store is there already that holds something else, or another run is at work.
    """
    check_numerics(numerics)
    job = feature_job(
        out=out,
        audio_root=audio_root,
        extractor=extractor,
        storage=storage,
        computing=computing,
        trusted_modules=trusted_modules,
    )
    check_outputs(job.extractor.outputs)
    job.refuse_other_content(overwrite=overwrite)
    job.refuse_without_gpu(runner, strict=numerics == STRICT)
    with ExitStack() as stack:
        builders = {key: stack.enter_context(StoreBuilder(path)) for key, path in job.paths.items()}
        folder = stack.enter_context(WorkFolder(job.work_folder(work), anew=anew))
        plan = job.plan(
            manifests=manifests,
            folder=folder.path,
            previous=previous,
            strict=numerics == STRICT,
            anew=anew,
            on_damage=on_damage,
        )
        warn_of_full_disk(job, plan)
        run = ShardRun(plan=plan, budget=Budget(max_failures=max_failures, path=failures_path))
        outcome = run(job.make_worker, runner, advance)
        headers = _publish(job, builders, outcome, corpus)
        folder.finish(job.paths.values(), keep=keep_work)
    _tell_other_classes(job, headers)
    return Extraction(headers=headers, tally=outcome.tally)


def _publish(
    job: Job,
    builders: Mapping[tuple[str, str], StoreBuilder],
    outcome: Outcome,
    corpus: Mapping[str, Any],
) -> list[StoreHeader]:
    """Put the stores in their places, all whole before the first is moved."""
    headers = []
    framing = job.extractor.framing
    for (name, split), builder in builders.items():
        for path, info in outcome.shards[name, split]:
            put(path, builder.folder / info.name)
        spec = job.specs[name]
        header = StoreHeader(
            name=name,
            dtype=spec.dtype,
            shape=spec.shape,
            time_axis=None if framing.is_whole else _time_axis(job.extractor.outputs[name]),
            codebook_size=job.extractor.outputs[name].codebook_size,
            compression=spec.compression,
            frame_rate=None if framing.is_whole else framing.frame_rate,
            first_frame_center_s=None if framing.is_whole else framing.first_frame_center_s,
            framing=None if framing.is_whole else framing,
            fingerprint=spec.fingerprint,
            numerics=outcome.numerics_of(split),
            num_failures=len(outcome.failures[split]),
            provenance=feature_provenance(
                job.described, job.entries, name, corpus, job.extractor.libraries
            ),
            shards=outcome.shards_of(name, split),
        )
        headers.append(builder.complete(header, outcome.failures[split]))
    publish_together(builders.values())
    return headers


def _time_axis(output: Output) -> int:
    return -1 if output.is_codes else 0


def _tell_other_classes(job: Job, headers: Sequence[StoreHeader]) -> None:
    """Say so where values were computed in another way than they would be here."""
    here = next(iter(job.specs.values())).numerics
    if job.computing.sees_device and any(
        one != as_here(one, here) for header in headers for one in header.numerics
    ):
        _log.info(
            "%s: some shards are of another numerics class than this machine's, which the headers "
            "list; numerics=strict computes them anew",
            job.out,
        )


def feature_job(
    *,
    out: Path,
    audio_root: Path,
    extractor: Mapping[str, Any],
    storage: Sequence[PackedStorage],
    computing: Computing = ON_CPU,
    trusted_modules: Sequence[str] = (),
) -> Job:
    """Return what `extract` is to make; the arguments are its own.

    Raises:
        ConfigError: the extractor or its storage cannot be used.
        WeightsError: the weights cannot be had.
    """
    made = define(
        extractor=extractor,
        storage=storage,
        audio_root=audio_root,
        computing=computing,
        trusted_modules=trusted_modules,
    )
    numerics = made.recipe.computing.numerics()
    specs = shard_specs(made.extractor, made.entries, made.fingerprints, numerics)
    frame_bytes, target_bytes = _largest(made.extractor, made.entries)
    return Job(
        out=out,
        extractor=made.extractor,
        entries=made.entries,
        described=made.described,
        specs=specs,
        frame_bytes=frame_bytes,
        target_bytes=target_bytes,
        computing=made.recipe.computing,
        make_worker=functools.partial(FeatureWorker, made.recipe, made.entries, made.fingerprints),
    )


def check_numerics(numerics: str) -> None:
    """Refuse a rule for other numerics classes that there is not.

    Raises:
        ConfigError: it is neither strict nor any.
    """
    if numerics not in (STRICT, ANY):
        raise ConfigError("numerics", expected=f"{STRICT} or {ANY}", got=numerics)


def _largest(extractor: Extractor, storage: Mapping[str, PackedStorage]) -> tuple[int, int]:
    """Return bytes a frame and a shard of the feature that is largest next to its target size."""
    sizes = [
        (extractor.outputs[name].num_values * entry.itemsize, entry.shard_bytes)
        for name, entry in storage.items()
    ]
    return max(sizes, key=lambda size: size[0] / size[1])
