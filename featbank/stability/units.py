"""Describe the units of a codebook as tokens whose stability is measured."""

from __future__ import annotations

import functools
import shutil
from dataclasses import replace
from pathlib import Path

from featbank.base.units import UNITS
from featbank.engine.extract import feature_job, make_features
from featbank.engine.run import STRICT, Reuse, Run
from featbank.engine.tokenize_audio import FeatureTokens
from featbank.files.locking import lock
from featbank.stability.measuring import MeasuredTokens
from featbank.tokenizers.tokenize import tokenize


def measured_units(name: str, tokens: FeatureTokens, kept: Path) -> MeasuredTokens:
    """Return the units of a codebook as tokens that are compared frame by frame.

    Args:
        name: of the choice, such as `tokens/mfcc-kmeans100`.
        tokens: as they are stored, whether or not repeats are merged.
        kept: folder for the features of the disturbed audio, a store each and kind. It stays, for
            the units of other codebooks and layers: nothing in it is computed twice.
    """
    by_frame = replace(tokens.stores, merge_repeats=False)
    return MeasuredTokens(
        name=name,
        stores=[UNITS],
        compute=functools.partial(
            _units_of_kept, tokens=replace(tokens, stores=by_frame), kept=kept
        ),
        fingerprints={UNITS: tokens.stores.fingerprints[UNITS]},
    )


def _units_of_kept(run: Run, out: Path, *, tokens: FeatureTokens, kept: Path) -> None:
    """Compute all features of a definition that are not kept yet, and the units of one of them.

    What is kept counts if it was made in the same way, in this numerics class, of the same audio.
    """
    held = lock(kept, f"features of disturbed audio {kept}", expected="one run", wait=True)
    try:
        job = feature_job(run, kept)
        make_features(job, Reuse(overwrite=True, numerics=STRICT))
        for folder in kept.iterdir():
            if folder.name not in job.specs:  # of another version of the definition
                shutil.rmtree(folder)
        tokenize(
            manifests=run.corpus.manifests,
            features=kept / tokens.feature,
            stores=tokens.stores,
            out=out,
        )
    finally:
        held.release()
