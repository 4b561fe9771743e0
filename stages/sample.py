"""Feature store, or audio -> the pinned utterances that a codebook is fitted on."""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from pathlib import Path

from featbank.base.manifest import read_manifest
from featbank.pipeline.configs import SampleConfig
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked
from featbank.tokenizers.sample import draw_sample, write_pins, write_sample
from featbank.tokenizers.tokenized import feature_of_tokens

_log = logging.getLogger(__name__)


@stage(SampleConfig)
def main(config: SampleConfig) -> None:
    pins = config.pins
    if config.pin:
        rows = read_manifest(Path(config.paths.manifests, "train.jsonl"))
        ids = draw_sample(rows, hours=config.hours, seed=config.seed)
        how = f"{len(ids)} utterances of train: {config.hours:g} h or all, by seed {config.seed}"
        write_pins(pins, ids, how=how)
        _log.info("%s: %s; commit it", pins, how)
        return
    refuse_tracked(config, config.paths.sample)
    from_audio = config.source == "audio"
    num_utterances = (_from_audio if from_audio else _from_features)(config)
    told = config.feature.told_choice(feature_of_tokens(config.feature.names))
    _log.info("%s: %d pinned utterances%s", config.paths.sample, num_utterances, told)


def _from_features(config: SampleConfig) -> int:
    return write_sample(
        features=Path(config.paths.features, feature_of_tokens(config.feature.names), "train"),
        pins=config.pins,
        out=config.paths.sample,
        overwrite=config.overwrite,
    )


def _from_audio(config: SampleConfig) -> int:
    # imported here: a sample of a feature store needs neither an encoder nor a decoder of audio
    from featbank.engine.run import Reuse
    from featbank.engine.sample_audio import sample_audio
    from featbank.pipeline.computing import computing_run

    name = f"sample-{config.corpus.name}-{config.feature.name}-{config.tokenizer.name}"
    done = sample_audio(
        computing_run(config, name),
        config.paths.sample,
        feature_of_tokens(config.feature.names),
        config.pins,
        Reuse(overwrite=config.overwrite, numerics=config.numerics),
    )
    _log.info("%s: straight from audio; %s", config.paths.sample, done.tally)
    return done.num_utterances


if __name__ == "__main__":
    run_script(main)
