"""Feature store, or audio -> the pinned utterances that a codebook is fitted on."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from pathlib import Path

from omegaconf import DictConfig

from featbank.base.manifest import read_manifest
from featbank.pipeline.definitions import stored_names, told_choice
from featbank.pipeline.stage import check_source, refuse_tracked, run_script, stage
from featbank.tokenizers.sample import draw_sample, write_pins, write_sample
from featbank.tokenizers.tokenized import feature_of_tokens

_log = logging.getLogger(__name__)


@stage("sample")
def main(config: DictConfig) -> None:
    pins = Path(config.pins)
    if config.pin:
        rows = read_manifest(Path(config.paths.manifests, "train.jsonl"))
        ids = draw_sample(rows, hours=config.hours, seed=config.seed)
        how = f"{len(ids)} utterances of train: {config.hours} h or all, by seed {config.seed}"
        write_pins(pins, ids, how=how)
        _log.info("%s: %s; commit it", pins, how)
        return
    refuse_tracked(config, config.paths.sample)
    from_audio = check_source(config) == "audio"
    num_utterances = (_from_audio if from_audio else _from_features)(config)
    told = told_choice(config, feature_of_tokens(stored_names(config)))
    _log.info("%s: %d pinned utterances%s", config.paths.sample, num_utterances, told)


def _from_features(config: DictConfig) -> int:
    return write_sample(
        features=Path(config.paths.features, feature_of_tokens(stored_names(config)), "train"),
        pins=Path(config.pins),
        out=Path(config.paths.sample),
        overwrite=config.overwrite,
    )


def _from_audio(config: DictConfig) -> int:
    # imported here: a sample of a feature store needs neither an encoder nor a decoder of audio
    from featbank.engine.run import Reuse
    from featbank.engine.sample_audio import sample_audio
    from featbank.pipeline.computing import computing_run

    name = f"sample-{config.corpus.name}-{config.feature.name}-{config.tokenizer.name}"
    done = sample_audio(
        computing_run(config, name),
        Path(config.paths.sample),
        feature_of_tokens(stored_names(config)),
        Path(config.pins),
        Reuse(overwrite=config.overwrite, numerics=config.numerics),
    )
    _log.info("%s: straight from audio; %s", config.paths.sample, done.tally)
    return done.num_utterances


if __name__ == "__main__":
    run_script(main)
