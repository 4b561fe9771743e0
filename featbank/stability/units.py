"""Describe the units of a codebook as tokens whose stability is measured."""

from __future__ import annotations

import functools
from dataclasses import replace

from featbank.base.units import UNITS
from featbank.engine.tokenize_audio import FeatureTokens, tokenize_audio
from featbank.stability.measuring import MeasuredTokens


def measured_units(name: str, tokens: FeatureTokens) -> MeasuredTokens:
    """Return the units of a codebook as tokens that are compared frame by frame.

    Args:
        name: of the choice, such as `tokens/mfcc-kmeans100`.
        tokens: as they are stored, whether or not repeats are merged.
    """
    by_frame = replace(tokens.stores, merge_repeats=False)
    return MeasuredTokens(
        name=name,
        stores=[UNITS],
        compute=functools.partial(tokenize_audio, tokens=replace(tokens, stores=by_frame)),
        fingerprints={UNITS: tokens.stores.fingerprints[UNITS]},
    )
