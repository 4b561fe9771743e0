"""Fitting: a sample store in, a codebook out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featbank.base.trusted import construct
from featbank.files.provenance import digest, package_versions
from featbank.numerics import CPU, ON_CPU, Computing, thread_count
from featbank.store import open_verified
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook
from featbank.tokenizers.drawing import draw_frames
from featbank.tokenizers.fit_file import load_state, save_state
from featbank.tokenizers.kmeans import FitState, KMeans
from featbank.tokenizers.replacing import refuse_other_codebook

_log = logging.getLogger(__name__)


def fit_codebook(
    *,
    sample: Path,
    out: Path,
    settings: Mapping[str, Any],
    seed: int,
    work: Path,
    computing: Computing = ON_CPU,
    overwrite: bool = False,
) -> Codebook:
    """Fit a codebook on frames drawn from a sample store and write it.

    A fit that was stopped goes on, and ends in the bytes it would have had.

    Args:
        sample: the sample store.
        out: the codebook's file.
        settings: of the k-means: arguments of `KMeans`.
        seed: of the drawing and the fit.
        work: folder in which a stopped fit is found again.
        computing: device and threads.
        overwrite: replace a codebook that was fitted in another way.

    Raises:
        CodebookError: too few frames, or a codebook is there that was fitted in another way.
        ConfigError: settings that k-means does not take.
        StoreError: the sample cannot be read, or is damaged.
    """
    kmeans: KMeans = construct(KMeans, settings, "tokenizer.kmeans")
    store = open_verified(sample)
    fitted_on = {
        "feature": store.header.name,
        "feature_fingerprint": store.header.fingerprint,
        "sample": digest([shard.digest for shard in store.shards]),
        "num_utterances": len(store),
        "num_frames": store.num_frames_total,
        "num_frames_drawn": min(kmeans.num_frames, store.num_frames_total),
        "kmeans": dict(settings),
        "seed": seed,
    }
    if out.exists() and not overwrite:
        refuse_other_codebook(out, fitted_on)
    if computing.device != CPU:
        computing.begin()
    numerics = computing.numerics()
    if out.exists() and not overwrite:  # fitted in this way, if on another kind of machine
        there = load_codebook(out)
        if there.provenance["numerics"] != numerics:
            _log.info("%s was fitted on another kind of machine, and is kept", out)
            return there
    # all that determines the passes: what is found under this name is a part of this fit
    stopped = work / f"{digest([fitted_on, numerics])[:16]}.fit.safetensors"
    state = load_state(stopped)
    if state is not None:
        _log.info("a fit that was stopped goes on: %s", _told(state))
    with thread_count(computing.num_threads):
        centroids, distances = kmeans.fit(
            draw_frames(store, kmeans.num_frames, seed=seed),
            seed=seed,
            device=computing.device,
            state=state,
            keep=lambda state: save_state(stopped, state),
        )
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
    save_codebook(out, codebook)
    stopped.unlink(missing_ok=True)
    return load_codebook(out)


def _told(state: FitState) -> str:
    passes = f"{state.num_passes} passes over share {state.share + 1} of the frames"
    return f"{len(state.codebooks)} codebooks are finished, the next has {passes}"
