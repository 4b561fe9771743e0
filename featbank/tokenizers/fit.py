"""Fitting of a codebook: a sample store in, a codebook out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from featbank.base.notices import tell
from featbank.base.progress import Advance
from featbank.files.provenance import digest, package_versions
from featbank.numerics import CPU, thread_count
from featbank.store import Numerics
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook
from featbank.tokenizers.codebook_task import CodebookTask
from featbank.tokenizers.drawing import draw_frames
from featbank.tokenizers.fit_file import load_state, save_state
from featbank.tokenizers.fit_sample import Sample
from featbank.tokenizers.kmeans import FitState, Floats, KMeans

_log = logging.getLogger(__name__)


def fit_codebook(
    task: CodebookTask, kmeans: KMeans, work: Path, advance: Advance = lambda _: None
) -> Codebook:
    """Fit a codebook on frames drawn from a sample store and write it.

    A fit that was stopped goes on, and ends in the bytes it would have had.

    Args:
        task: what it is fitted on, and where it goes.
        kmeans: fits it.
        work: folder in which a stopped fit is found again.
        advance: told the frames of each pass; see `KMeans.fit`.

    Raises:
        CodebookError: too few frames, or a codebook is there that was fitted in another way.
        StoreError: the sample cannot be read, or is damaged.
    """
    tell(phase="reading the sample")
    store = task.open_sample()
    fitted_on = _fitted_on(task, kmeans, store)
    task.refuse_other(fitted_on)
    if task.computing.device != CPU:
        task.computing.begin()
    numerics = task.computing.numerics()
    if there := _fitted_elsewhere(task, numerics):
        return there
    # all that determines the passes: what is found under this name is a part of this fit
    stopped = work / f"{digest([fitted_on, numerics])[:16]}.fit.safetensors"
    centroids, distances = _fit(task, kmeans, store, stopped, advance)
    codebook = Codebook(
        centroids=centroids[0] if kmeans.num_codebooks == 1 else centroids,
        provenance={
            "fitted_on": fitted_on,
            "feature_provenance": dict(store.provenance),
            "mean_squared_distances": list(distances),
            "numerics": numerics,
            "versions": package_versions(("numpy", "torch")),
        },
    )
    save_codebook(task.out, codebook)
    stopped.unlink(missing_ok=True)
    return load_codebook(task.out)


def _fitted_on(task: CodebookTask, kmeans: KMeans, store: Sample) -> Mapping[str, object]:
    """Return all that determines a codebook but the machine, as its provenance records it."""
    return {
        "feature": store.header.name,
        "feature_fingerprint": store.header.fingerprint,
        "corpora": list(task.corpora),
        "sample": digest([shard.digest for shard in store.shards]),
        "num_utterances": len(store),
        "num_frames": store.num_frames_total,
        "num_frames_drawn": min(kmeans.num_frames, store.num_frames_total),
        "tokenizer": kmeans.identity().to_json(),
        "seed": task.seed,
    }


def _fitted_elsewhere(task: CodebookTask, numerics: Numerics) -> Codebook | None:
    """Return the codebook that is there, fitted in this way, if on another kind of machine."""
    if task.overwrite or not task.out.exists():
        return None
    there = load_codebook(task.out)
    if there.provenance["numerics"] == numerics:
        return None
    _log.info("%s was fitted on another kind of machine, and is kept", task.out)
    return there


def _fit(
    task: CodebookTask, kmeans: KMeans, store: Sample, stopped: Path, advance: Advance
) -> tuple[Floats, tuple[float, ...]]:
    """Fit the centroids (Q, K, D), from where a stopped fit has left off."""
    state = load_state(stopped)
    if state is not None:
        _log.info("a fit that was stopped goes on: %s", _told(state))
    tell(phase="drawing frames")
    with thread_count(task.computing.num_threads):
        return kmeans.fit(
            draw_frames(store, kmeans.num_frames, seed=task.seed),
            seed=task.seed,
            device=task.computing.device,
            state=state,
            keep=lambda state: save_state(stopped, state),
            advance=advance,
        )


def _told(state: FitState) -> str:
    passes = f"{state.num_passes} passes over share {state.share + 1} of the frames"
    return f"{len(state.codebooks)} codebooks are finished, the next has {passes}"
