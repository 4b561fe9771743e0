"""Extract features: manifests and an extractor in, feature stores out."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from featbank.base.notices import tell
from featbank.engine.definition import build_definition
from featbank.engine.driver import MadeShards, Published, compute_shards
from featbank.engine.feature_worker import FeatureWorker, shard_specs
from featbank.engine.job import Job
from featbank.engine.run import WHAT_FITS, Reuse, Run
from featbank.engine.work import WorkFolder, put
from featbank.feature_io.stage_storage import PackedStorage
from featbank.features.base import Extractor, Output
from featbank.numerics import as_here
from featbank.store import StoreBuilder, StoreHeader, publish_together

_log = logging.getLogger(__name__)


def extract(run: Run, out: Path, reuse: Reuse = WHAT_FITS) -> Published:
    """Compute the features of all splits of a corpus and publish a store for each name and split.

    What is there already is not computed again: finished shards of a run that was stopped, and
    shards and rows of stores that were made in the same way.

    Args:
        run: what to compute, and how.
        out: the stores go to `out/<feature name>/<split>`.
        reuse: what to take over, and what to replace.

    Raises:
        ConfigError: the extractor or its storage cannot be used, or workers have no GPU.
        FailureBudgetError: too many utterances failed; no store is published.
        StoreError: a store is there already that holds something else, or another run is at work.
        WeightsError: the weights cannot be had.
    """
    return make_features(feature_job(run, out), reuse)


def feature_job(run: Run, out: Path) -> Job:
    """Return the job that `extract` does.

    Raises:
        ConfigError: the extractor or its storage cannot be used.
        WeightsError: the weights cannot be had.
    """
    made = build_definition(run.definition, run.corpus.audio_root, run.computing)
    numerics = made.recipe.computing.numerics()
    frame_bytes, target_bytes = _largest(made.extractor, made.entries)
    return Job(
        run=run,
        out=out,
        definition=made,
        specs=shard_specs(made.extractor, made.entries, made.fingerprints, numerics),
        frame_bytes=frame_bytes,
        target_bytes=target_bytes,
        make_worker=functools.partial(FeatureWorker, made.recipe, made.entries, made.fingerprints),
    )


def make_features(job: Job, reuse: Reuse) -> Published:
    """Make what `feature_job` returned; raises what `extract` does."""
    job.refuse_in_vain(reuse)
    with ExitStack() as stack:
        builders = {key: stack.enter_context(StoreBuilder(path)) for key, path in job.paths.items()}
        folder = stack.enter_context(WorkFolder(job.work_folder, anew=reuse.anew))
        outcome = compute_shards(job, job.plan(reuse))
        tell(phase="publishing the stores")
        headers = _publish(job, builders, outcome)
        job.remove_other_splits()
        folder.finish(job.paths.values(), keep=job.run.keep_work)
    tell_other_classes(job, headers)
    return Published(headers=headers, tally=outcome.tally)


def _publish(
    job: Job, builders: Mapping[tuple[str, str], StoreBuilder], outcome: MadeShards
) -> list[StoreHeader]:
    """Put the stores in their places, all whole before the first is moved."""
    headers = []
    for (name, split), builder in builders.items():
        for path, info in outcome.shards[name, split]:
            put(path, builder.folder / info.name)
        header = store_header(job, name, split, outcome)
        headers.append(builder.complete(header, outcome.failures[split]))
    publish_together(builders.values())
    return headers


def store_header(job: Job, name: str, split: str, outcome: MadeShards) -> StoreHeader:
    """Describe a store to be."""
    spec, output = job.specs[name], job.extractor.outputs[name]
    framing = None if job.extractor.framing.is_whole else job.extractor.framing
    return StoreHeader(
        name=name,
        dtype=spec.dtype,
        shape=spec.shape,
        time_axis=_time_axis(output) if framing else None,
        codebook_size=output.codebook_size,
        compression=spec.compression,
        frame_rate=framing.frame_rate if framing else None,
        first_frame_center_s=framing.first_frame_center_s if framing else None,
        framing=framing,
        fingerprint=spec.fingerprint,
        numerics=outcome.numerics_of(split),
        num_failures=len(outcome.failures[split]),
        provenance=job.provenance(name, split),
        shards=outcome.shards_of(name, split),
    )


def _time_axis(output: Output) -> int:
    return -1 if output.is_codes else 0


def tell_other_classes(job: Job, headers: Sequence[StoreHeader]) -> None:
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


def _largest(extractor: Extractor, storage: Mapping[str, PackedStorage]) -> tuple[int, int]:
    """Return bytes a frame and a shard of the feature that is largest next to its target size."""
    sizes = [
        (extractor.outputs[name].num_values * entry.itemsize, entry.shard_bytes)
        for name, entry in storage.items()
    ]
    return max(sizes, key=lambda size: size[0] / size[1])
