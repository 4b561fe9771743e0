"""Tokenization straight from audio: for corpora whose features are too large to be stored."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from featbank.base.manifest import SPLITS
from featbank.base.progress import Advance
from featbank.engine.description import feature_provenance
from featbank.engine.driver import Budget, Outcome, ShardRun
from featbank.engine.earlier import OnDamage, shard_problem
from featbank.engine.job import Job
from featbank.engine.plan import ShardPlan
from featbank.engine.recipe import define
from featbank.engine.space import warn_of_full_disk
from featbank.engine.tasks import Tally
from featbank.engine.token_worker import TokenWorker, token_specs
from featbank.engine.work import WorkFolder
from featbank.errors import ConfigError, StoreError
from featbank.feature_io import PackedStorage
from featbank.numerics import ON_CPU, Computing, with_audio
from featbank.runners.base import Runner
from featbank.store import (
    SHARD_BYTES,
    MappedShard,
    StoreHeader,
    StoreWriter,
    commit_together,
    read_header,
)
from featbank.tokenizers.codebook import Codebook
from featbank.tokenizers.token_stores import TokenStores


def tokenize_audio(
    *,
    manifests: Path,
    audio_root: Path,
    out: Path,
    extractor: Mapping[str, Any],
    storage: Sequence[PackedStorage],
    feature: str,
    codebook: Codebook,
    corpus: Mapping[str, Any],
    runner: Runner,
    work: Path,
    failures_path: Path,
    keep_work: bool = False,
    merge_repeats: bool = False,
    shard_bytes: int = SHARD_BYTES,
    max_failures: float = 0,
    overwrite: bool = False,
    anew: bool = False,
    previous: Sequence[Path] = (),
    on_damage: OnDamage = lambda _: None,
    computing: Computing = ON_CPU,
    trusted_modules: Sequence[str] = (),
    advance: Advance = lambda _: None,
) -> tuple[list[StoreHeader], Tally]:
    """Compute features and assign every frame its nearest centroid, without storing the features.

    The stores are those that `extract` and `tokenize` would make, byte for byte. A run that was
    stopped goes on, and rows of earlier token stores are copied. All machines of a run, the one
    that starts it included, are of one numerics class, which the stores state.

    Args:
        manifests: folder with a manifest a split.
        audio_root: folder that the manifests' paths are relative to.
        out: stores go to `out/units/<split>`, and `out/durations/<split>` where repeats are merged.
        extractor: `_target_` and its arguments.
        storage: one entry for each feature name of the extractor: how it would be stored.
        feature: the name whose frames are assigned.
        codebook: read from its file; fitted on that feature.
        corpus: what the headers say of the corpus: name and licence.
        runner: spreads the work over workers.
        work: folder for finished tokens until all are published.
        failures_path: where the failure list goes when it is over the budget.
        keep_work: leave the work folder, as `extract` does.
        merge_repeats: store a run of equal units once, and its length in frames beside it.
        shard_bytes: size around which the shards of the stores are cut. Workers are given pieces
            of work of the size of a shard of features.
        max_failures: a number of utterances, or below 1 a share of them.
        overwrite: replace stores that hold something else.
        anew: take nothing over from earlier stores; what a stopped run has finished, and is in
            none yet, is gone on with.
        previous: folders like `out`, which hold earlier stores.
        on_damage: told each damaged file of what would have been taken over.
        computing: device, threads, and seconds of audio together.
        trusted_modules: packages beside featbank that `_target_` may name.
        advance: told the seconds of audio done.

    Returns:
        The headers of the stores, and what was computed and what was taken over.

    Raises:
        CodebookError: the codebook was fitted on features made in another way.
        FailureBudgetError: too many utterances failed; no store is published.
        FeatbankError: a worker is of another numerics class.
        StoreError: a store is there already that holds something else, or another run is at work.
    """
    stores = TokenStores(codebook=codebook, merge_repeats=merge_repeats)
    job = token_job(
        out=out,
        audio_root=audio_root,
        extractor=extractor,
        storage=storage,
        feature=feature,
        stores=stores,
        shard_bytes=shard_bytes,
        computing=computing,
        trusted_modules=trusted_modules,
    )
    job.refuse_other_content(overwrite=overwrite)
    job.refuse_without_gpu(runner, strict=True)
    with ExitStack() as stack:
        folder = stack.enter_context(WorkFolder(job.work_folder(work), anew=anew))
        plan = job.plan(
            manifests=manifests,
            folder=folder.path,
            previous=previous,
            strict=True,
            anew=anew,
            on_damage=on_damage,
        )
        writers = {
            place: stack.enter_context(writer)
            for place, writer in _writers(job, plan, stores, feature, corpus, shard_bytes)
        }
        warn_of_full_disk(job, plan)
        run = ShardRun(plan=plan, budget=Budget(max_failures=max_failures, path=failures_path))
        outcome = run(job.make_worker, runner, advance)
        for (name, split), writer in writers.items():
            _write_store(writer, outcome, split, name)
        commit_together(writers.values())
        stores.remove_others(out)
        folder.finish(job.paths.values(), keep=keep_work)
    headers = [read_header(out / name / split) for split in SPLITS for name in stores.dtypes]
    return headers, outcome.tally


def token_job(
    *,
    out: Path,
    audio_root: Path,
    extractor: Mapping[str, Any],
    storage: Sequence[PackedStorage],
    feature: str,
    stores: TokenStores,
    shard_bytes: int = SHARD_BYTES,
    computing: Computing = ON_CPU,
    trusted_modules: Sequence[str] = (),
) -> Job:
    """Return what `tokenize_audio` is to make; the arguments are its own, but for the stores.

    Raises:
        CodebookError: the codebook was fitted on features made in another way.
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
    if feature not in made.entries:
        raise ConfigError("feature to tokenize", expected=" or ".join(made.entries), got=feature)
    entry = made.entries[feature]
    stores.check_features(
        made.fingerprints[feature], f"feature {feature!r}", is_whole=made.extractor.framing.is_whole
    )
    numerics = made.recipe.computing.numerics()
    specs = token_specs(stores, numerics)
    return Job(
        out=out,
        extractor=made.extractor,
        entries=made.entries,
        described=made.described,
        specs=specs,
        frame_bytes=made.extractor.outputs[feature].num_values * entry.itemsize,
        target_bytes=entry.shard_bytes,
        computing=made.recipe.computing,
        make_worker=functools.partial(TokenWorker, made.recipe, entry, stores),
        shard_bytes=shard_bytes,
        merged=frozenset(specs) if stores.merge_repeats else frozenset(),
    )


def _writers(
    job: Job,
    plan: ShardPlan,
    stores: TokenStores,
    feature: str,
    corpus: Mapping[str, Any],
    shard_bytes: int,
) -> Iterator[tuple[tuple[str, str], StoreWriter]]:
    """Give a writer for each store, by name and split."""
    framing = job.extractor.framing
    for (name, split), path in job.paths.items():
        writer = stores.writer(
            path,
            name,
            framing=framing,
            frame_rate=framing.frame_rate,
            first_frame_center_s=framing.first_frame_center_s,
            feature=feature_provenance(
                job.described, job.entries, feature, corpus, job.extractor.libraries
            ),
            numerics=with_audio(plan.numerics, plan.rows[split].decided_by),
            shard_bytes=shard_bytes,
        )
        yield (name, split), writer


def _write_store(writer: StoreWriter, outcome: Outcome, split: str, name: str) -> None:
    """Write a store from finished pieces, in its own order.

    Raises:
        StoreError: one is not as it was written; its rows would get checksums of their own.
    """
    for path, info in sorted(
        outcome.shards[name, split], key=lambda source: (source[1].part, source[1].first_id)
    ):
        shard = MappedShard(path, info.num_bytes)
        if problem := shard_problem(path, shard.spec, info):
            raise StoreError(
                f"shard {path}: {problem}", hint="run again: what it holds is computed anew"
            )
        for row in range(len(shard)):
            writer.write(
                shard.id(row),
                shard.read(row).T,  # codes with the time axis last; units as they are
                input_digest=shard.input_digest(row),
                part=info.part,
            )
    for failure in outcome.failures[split]:
        writer.fail(failure)
