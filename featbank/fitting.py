"""Fitting: a sample store in, a codebook out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from featbank.errors import CodebookError
from featbank.provenance import digest, package_versions
from featbank.store import open_store
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook
from featbank.tokenizers.kmeans import KMeans
from featbank.trusted import construct


def fit_codebook(
    *, sample: Path, out: Path, settings: Mapping[str, Any], seed: int, overwrite: bool = False
) -> Codebook:
    """Fit a codebook on every frame of a sample store and write it.

    Args:
        sample: the sample store.
        out: the codebook's file.
        settings: of the k-means: arguments of `KMeans`.
        seed: of the fit.
        overwrite: replace a codebook that was fitted in another way.

    Raises:
        CodebookError: too few frames, or a codebook is there that was fitted in another way.
    """
    store = open_store(sample)
    fitted_on = {
        "feature": store.header.name,
        "feature_fingerprint": store.header.fingerprint,
        "sample": digest([shard.digest for shard in store.shards]),
        "num_utterances": len(store),
        "num_frames": store.num_frames_total,
        "kmeans": dict(settings),
        "seed": seed,
    }
    if out.exists() and not overwrite:
        _refuse_other_codebook(out, fitted_on)
    frames = np.concatenate([np.asarray(store[name], dtype=np.float32) for name in store.ids])
    centroids, inertia = construct(KMeans, settings, "tokenizer.kmeans").fit(frames, seed=seed)
    codebook = Codebook(
        centroids=centroids,
        provenance={
            "fitted_on": fitted_on,
            "feature_provenance": dict(store.provenance),
            "mean_squared_distance": inertia,
            "versions": package_versions(("numpy", "scikit-learn")),
        },
    )
    save_codebook(out, codebook)
    return load_codebook(out)


def _refuse_other_codebook(out: Path, fitted_on: Mapping[str, Any]) -> None:
    found = load_codebook(out).provenance["fitted_on"]
    changed = sorted(name for name in fitted_on if fitted_on[name] != found.get(name))
    if changed:
        raise CodebookError(
            f"codebook {out} was fitted in another way: {', '.join(changed)}",
            expected=", ".join(f"{name} {found.get(name)}" for name in changed),
            got=", ".join(f"{name} {fitted_on[name]}" for name in changed),
            hint="units of two codebooks do not mix: give the new one a name of its own "
            "(tokenizer.name=...), or replace it with overwrite=true",
        )
