"""Measurement of the stability of a choice's tokens, for the stage `stability`."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress

from featbank.base.progress import Advance
from featbank.engine.extract import extract
from featbank.engine.recomputing import DrawnSample, draw
from featbank.engine.tokenize_audio import FeatureTokens
from featbank.errors import StoreError
from featbank.files.locking import lock
from featbank.pipeline.choices import kind_and_option, read_choices
from featbank.pipeline.computing import computing_run, config_of
from featbank.pipeline.configs import StabilityConfig, TokenizeConfig
from featbank.pipeline.definitions import defined_tokens
from featbank.stability.disturbances import disturbances
from featbank.stability.measuring import MeasuredTokens, beginnings, measure_stability
from featbank.stability.result import Stability
from featbank.stability.units import measured_units
from featbank.tokenizers.codebook import load_codebook
from featbank.tokenizers.token_stores import TokenStores

_OF_STABILITY = ("only", "utterances", "max_s", "seed")
"""Keys of `stability` alone: what else is typed goes for the stage that makes the tokens, too."""

_DISTURBED = "disturbed"
"""Of the work folder: features of disturbed audio, which all tokens of a feature are made of."""


def drop_disturbed(config: StabilityConfig, names: Iterable[str]) -> None:
    """Remove features of disturbed audio that no tokens are made of any more.

    Args:
        config: of `stability`.
        names: of the choices at hand, such as `tokens/mfcc-kmeans100`; those of params.yaml stay,
            too.

    Raises:
        ConfigError: a choice has no definition.
    """
    choices = read_choices()
    corpora = {*choices.corpora, config.corpus.name}
    features = {one.feature for one in choices.all_tokens}
    for name in names:
        kind, option = kind_and_option(name)
        features |= {defined_tokens(option).feature} if kind == "tokens" else set()
    for folder in (config.runtime.work / _DISTURBED).glob("*/*/"):
        if folder.parent.name in corpora and folder.name in features:
            continue
        with suppress(StoreError):  # another stage is at work in it
            held = lock(folder, f"features of disturbed audio {folder}")
            shutil.rmtree(folder)
            held.release()


def draw_sample(config: StabilityConfig) -> tuple[DrawnSample, float]:
    """Draw the utterances to disturb.

    Returns:
        Their beginnings, and the seconds of audio to compute for one choice: clean and disturbed.
    """
    drawn = draw(config.paths.manifests, config.utterances, config.seed)
    sample = beginnings(drawn, config.max_s)
    return sample, sample.audio_s * (1 + len(disturbances()))


def gauge_stability(
    config: StabilityConfig,
    name: str,
    stores: Sequence[str],
    *,
    sample: DrawnSample,
    corpus: str,
    advance: Advance,
) -> Stability:
    """Disturb a sample, and compare its tokens with those of the clean one.

    Args:
        config: of `stability`.
        name: of the choice, such as `tokens/mfcc-kmeans100`.
        stores: of that choice which hold tokens.
        sample: of utterances.
        corpus: digest of its summary.
        advance: told the seconds of audio done.

    Raises:
        ConfigError: the choice has no definition.
        FeatbankError: what `measure_stability` raises.
    """
    made_by = config_of(name, but=_OF_STABILITY)
    run_name = f"stability-{config.corpus.name}-{name.replace('/', '-')}"
    run = computing_run(made_by, run_name, advance)
    if isinstance(made_by, TokenizeConfig):
        tokens = TokenStores(
            codebook=load_codebook(made_by.paths.codebook),
            merge_repeats=made_by.tokenizer.merge_repeats,
        )
        feature = made_by.feature.of_tokens(made_by.stored)
        kept = config.runtime.work / _DISTURBED / config.corpus.name / made_by.feature.name
        choice = measured_units(name, FeatureTokens(feature=feature, stores=tokens), kept)
    else:
        choice = MeasuredTokens(name=name, stores=stores, compute=extract)
    return measure_stability(run, choice, sample, corpus=corpus)
