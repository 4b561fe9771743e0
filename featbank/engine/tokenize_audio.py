"""Tokenize audio directly, for corpora whose features are too large to be stored."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from featbank.base.notices import tell
from featbank.engine.definition import build_definition
from featbank.engine.driver import MadeShards, Published, compute_shards
from featbank.engine.job import Job
from featbank.engine.plan import ShardPlan
from featbank.engine.previous import shard_problem
from featbank.engine.run import WHAT_FITS, Reuse, Run
from featbank.engine.token_worker import TokenWorker, token_specs
from featbank.engine.work import WorkFolder
from featbank.errors import ConfigError, StoreError
from featbank.numerics import with_audio
from featbank.store import MappedShard, StoreWriter, commit_together, read_header
from featbank.tokenizers.token_stores import TokenizedFeature, TokenStores


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTokens:
    """Which feature is tokenized, and how its tokens are stored.

    Args:
        feature: the name whose frames are assigned.
        stores: of the tokens, with a codebook that was fitted on that feature. Workers are given
            pieces of work of the size of a shard of features.
    """

    feature: str
    stores: TokenStores


def tokenize_audio(
    run: Run, out: Path, tokens: FeatureTokens, reuse: Reuse = WHAT_FITS
) -> Published:
    """Compute features and assign every frame its nearest centroid, without storing the features.

    The stores are those that `extract` and `tokenize` would make, byte for byte. A run that was
    stopped goes on, and rows of previous token stores are copied. All machines of a run, the one
    that starts it included, are of one numerics class, which the stores state.

    Args:
        run: what to compute, and how; its storage says how the features would be stored.
        out: stores go to `out/units/<split>`, and `out/durations/<split>` where repeats are merged.
        tokens: which, of which feature.
        reuse: what to take over, always of this machine's numerics class, and what to replace.

    Raises:
        CodebookError: the codebook was fitted on features made in another way.
        ConfigError: the extractor or its storage cannot be used, or workers have no GPU.
        FailureBudgetError: too many utterances failed; no store is published.
        FeatbankError: a worker is of another numerics class.
        StoreError: a store is there already that holds something else, or another run is at work.
        WeightsError: the weights cannot be had.
    """
    reuse, stores = reuse.strictly(), tokens.stores
    job = token_job(run, out, tokens)
    job.refuse_in_vain(reuse)
    with ExitStack() as stack:
        folder = stack.enter_context(WorkFolder(job.work_folder, anew=reuse.anew))
        plan = job.plan(reuse)
        writers = {
            place: stack.enter_context(writer) for place, writer in _writers(job, plan, tokens)
        }
        outcome = compute_shards(job, plan)
        tell(phase="writing the stores")
        for (name, split), writer in writers.items():
            _write_store(writer, outcome, split, name)
        commit_together(writers.values())
        stores.remove_others(out, job.splits)
        folder.finish(job.paths.values(), keep=run.keep_work)
    headers = [read_header(out / name / split) for split in job.splits for name in stores.dtypes]
    return Published(headers=headers, tally=outcome.tally)


def token_job(run: Run, out: Path, tokens: FeatureTokens) -> Job:
    """Return the job that `tokenize_audio` does.

    Raises:
        CodebookError: the codebook was fitted on features made in another way.
        ConfigError: the extractor or its storage cannot be used.
        WeightsError: the weights cannot be had.
    """
    made = build_definition(run.definition, run.corpus.audio_root, run.computing)
    feature, stores = tokens.feature, tokens.stores
    if feature not in made.entries:
        raise ConfigError("feature to tokenize", expected=" or ".join(made.entries), got=feature)
    entry = made.entries[feature]
    stores.check_features(
        made.fingerprints[feature], f"feature {feature!r}", is_whole=made.extractor.framing.is_whole
    )
    specs = token_specs(stores, made.recipe.computing.numerics())
    return Job(
        run=run,
        out=out,
        definition=made,
        specs=specs,
        frame_bytes=made.extractor.outputs[feature].num_values * entry.itemsize,
        target_bytes=entry.shard_bytes,
        make_worker=functools.partial(TokenWorker, made.recipe, entry, stores),
        shard_bytes=stores.shard_bytes,
        merged=frozenset(specs) if stores.merge_repeats else frozenset(),
    )


def _writers(
    job: Job, plan: ShardPlan, tokens: FeatureTokens
) -> Iterator[tuple[tuple[str, str], StoreWriter]]:
    """Give a writer for each store, by name and split."""
    framing = job.extractor.framing
    for (name, split), path in job.paths.items():
        feature = TokenizedFeature(
            framing=framing,
            frame_rate=framing.frame_rate,
            first_frame_center_s=framing.first_frame_center_s,
            provenance=job.provenance(tokens.feature, split),
            numerics=with_audio(plan.numerics, plan.rows[split].decided_by),
        )
        yield (name, split), tokens.stores.writer(path, name, feature)


def _write_store(writer: StoreWriter, outcome: MadeShards, split: str, name: str) -> None:
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
