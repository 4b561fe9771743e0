"""Fitting: a sample store in, a codebook out; or one that was fitted elsewhere, taken over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from featbank.errors import CodebookError, ConfigError
from featbank.numerics import CPU, ON_CPU, Computing, thread_count
from featbank.provenance import digest, file_sha256, package_versions
from featbank.store import open_store
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook
from featbank.tokenizers.drawing import draw_frames
from featbank.tokenizers.fit_file import load_state, save_state
from featbank.tokenizers.importing import read_centroids
from featbank.tokenizers.kmeans import FitState, KMeans
from featbank.trusted import construct

_log = logging.getLogger(__name__)

_MEASURED_FRAMES = 100_000  # whose distance to an imported codebook is measured


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
        StoreError: the sample cannot be read.
    """
    kmeans: KMeans = construct(KMeans, settings, "tokenizer.kmeans")
    store = open_store(sample)
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
        _refuse_other_codebook(out, fitted_on)
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


def import_codebook(file: Path, out: Path, *, overwrite: bool = False) -> Codebook:
    """Convert a k-means that was fitted elsewhere into a codebook's file, once and by hand.

    Args:
        file: that `read_centroids` reads.
        out: the codebook's file.
        overwrite: replace another codebook.

    Raises:
        CodebookError: the file is no k-means, or another codebook is there.
        ConfigError: the library that reads it is not installed.
    """
    centroids, kind = read_centroids(file)
    codebook = Codebook(
        centroids=centroids,
        provenance={
            "imported_from": {"file": file.name, "kind": kind, "sha256": file_sha256(file)}
        },
    )
    if out.exists() and not overwrite:
        there = load_codebook(out)
        if "fitted_on" in there.provenance:
            raise CodebookError(
                f"codebook {out}",
                expected="nothing there, or an imported one",
                got="one that says what it was fitted on",
                hint="name another file: stages/fit.py takes it over into data/codebooks",
            )
        if there.centroids_digest != codebook.centroids_digest:
            raise CodebookError(
                f"codebook {out}",
                expected=f"nothing there, or the centroids of {file}",
                got=f"other ones, {there.centroids.shape}",
                hint="name another file, or replace it with overwrite=true",
            )
    save_codebook(out, codebook)
    return load_codebook(out)


def adopt_codebook(
    *,
    sample: Path,
    out: Path,
    imported: Mapping[str, Any],
    seed: int,
    computing: Computing = ON_CPU,
    overwrite: bool = False,
) -> Codebook:
    """Take an imported codebook for the features of a sample, in place of fitting one.

    Nothing in a k-means of another tool says what it was fitted on: that it was on such features
    is the word of whoever names it. The mean squared distance, beside that of a codebook fitted
    here, tells whether it can be true.

    Args:
        sample: the sample store.
        out: the codebook's file.
        imported: `path` of the file that `import_codebook` wrote, and its `sha256`.
        seed: of the frames whose distance is measured.
        computing: device and threads.
        overwrite: replace a codebook that was made in another way.

    Raises:
        CodebookError: the file is another one, or of another dimension; or a codebook is there
            that was made in another way.
        ConfigError: `imported` is not as above.
    """
    if set(imported) != {"path", "sha256"}:
        raise ConfigError(
            "tokenizer.imported", expected="path and sha256", got=", ".join(imported) or "neither"
        )
    codebook = load_codebook(imported["path"])
    if codebook.digest != imported["sha256"]:
        raise CodebookError(
            f"codebook {imported['path']}",
            expected=f"sha256 {imported['sha256']}, as tokenizer.imported has it",
            got=codebook.digest,
            hint="put its own into the definition if it is the one you mean",
        )
    store = open_store(sample)
    if store.shape != codebook.centroids.shape[-1:]:
        raise CodebookError(
            f"codebook {imported['path']}",
            expected=f"centroids of shape {store.shape}, as feature {store.name!r} has",
            got=f"{codebook.centroids.shape[-1:]}",
        )
    origin = codebook.provenance.get("fitted_on")
    if origin is not None and origin["feature_fingerprint"] != store.fingerprint:
        raise CodebookError(
            f"codebook {imported['path']} was fitted on features made in another way",
            expected=f"fingerprint {store.fingerprint[:12]}",
            got=origin["feature_fingerprint"][:12],
        )
    fitted_on = {
        "feature": store.name,
        "feature_fingerprint": store.fingerprint,
        "sample": digest([shard.digest for shard in store.shards]),
        "imported": codebook.centroids_digest,
    }
    if out.exists() and not overwrite:
        _refuse_other_codebook(out, fitted_on)
    with thread_count(computing.num_threads):
        frames = draw_frames(store, _MEASURED_FRAMES, seed=seed)
        left = frames - codebook.decode(codebook.assign(frames))
    adopted = Codebook(
        centroids=codebook.centroids,
        provenance={
            "imported": dict(codebook.provenance),
            "fitted_on": fitted_on,
            "feature_provenance": dict(store.provenance),
            "mean_squared_distances": [float(np.square(left, dtype=np.float64).sum(axis=1).mean())],
        },
    )
    save_codebook(out, adopted)
    return load_codebook(out)


def _told(state: FitState) -> str:
    passes = f"{state.num_passes} passes over share {state.share + 1} of the frames"
    return f"{len(state.codebooks)} codebooks are finished, the next has {passes}"


def _refuse_other_codebook(out: Path, fitted_on: Mapping[str, Any]) -> None:
    found = load_codebook(out).provenance.get("fitted_on", {})
    changed = sorted(name for name in fitted_on if fitted_on[name] != found.get(name))
    if changed:
        raise CodebookError(
            f"codebook {out} was fitted in another way: {', '.join(changed)}",
            expected=", ".join(f"{name} {found.get(name)}" for name in changed),
            got=", ".join(f"{name} {fitted_on[name]}" for name in changed),
            hint="units of two codebooks do not mix: give the new one a name of its own "
            "(tokenizer.name=...), or replace it with overwrite=true",
        )
