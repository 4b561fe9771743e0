"""What `stability` does: choices of tokens, computed from clean and from disturbed audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from featbank.base.progress import Advance
from featbank.base.units import UNITS
from featbank.certification.disturbances import DISTURBANCES
from featbank.certification.disturbing import beginnings, measure_stability
from featbank.certification.recomputing import Sample, draw
from featbank.engine.extract import extract
from featbank.engine.tokenize_audio import tokenize_audio
from featbank.pipeline.computing import computing_settings, definition_of
from featbank.pipeline.definitions import feature_of_tokens
from featbank.tokenizers.codebook import load_codebook
from featbank.tokenizers.token_stores import TokenStores
from featbank.validation.stability import Stability

_OF_STABILITY = ("only", "utterances", "max_s", "seed")
"""Keys of `stability` alone: what else is typed goes for the stage that makes the tokens, too."""


def draw_sample(config: DictConfig) -> tuple[Sample, float]:
    """Draw the utterances to disturb.

    Returns:
        Their beginnings, and the seconds of audio to compute for one choice: clean and disturbed.
    """
    drawn = draw(Path(config.paths.manifests), config.utterances, config.seed)
    sample = beginnings(drawn, config.max_s)
    audio_s = sum(row.duration_s for rows in sample.values() for row in rows)
    return sample, audio_s * (1 + len(DISTURBANCES))


def gauge_stability(
    config: DictConfig,
    name: str,
    stores: Sequence[str],
    *,
    sample: Sample,
    corpus: str,
    advance: Advance,
) -> Stability:
    """Disturb a sample, and hold its tokens against those of the clean one.

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
    kind, _, option = name.partition("/")
    definition = definition_of(kind, option, but=_OF_STABILITY)
    run = f"stability-{config.corpus.name}-{kind}-{option}"
    settings = computing_settings(definition, run, advance)
    # an utterance a task: the sample is small, and every worker is to have some of it
    settings["storage"] = [replace(entry, shard_bytes=1) for entry in settings["storage"]]
    fingerprints = None
    if kind == "tokens":
        codebook = load_codebook(definition.paths.codebook)
        settings |= {"feature": feature_of_tokens(definition), "codebook": codebook}
        # flips are counted frame by frame, whether or not the stored units are merged
        stored = TokenStores(codebook=codebook, merge_repeats=definition.tokenizer.merge_repeats)
        fingerprints = {UNITS: stored.fingerprints[UNITS]}
    return measure_stability(
        extract if kind == "features" else tokenize_audio,
        stores,
        name=name,
        sample=sample,
        seed=config.seed,
        work=settings["work"],
        settings=settings,
        fingerprints=fingerprints,
        corpus=corpus,
    )
