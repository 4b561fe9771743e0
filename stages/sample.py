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
from featbank.base.split_names import split_names
from featbank.errors import StoreError
from featbank.pipeline.definitions import split_roles, stored_names, told_choice
from featbank.pipeline.stage import check_source, refuse_tracked, run_script, stage
from featbank.store.splits import read_splits, standing_splits
from featbank.tokenizers.sample import draw_sample, present_splits, write_pins, write_sample
from featbank.tokenizers.tokenized import feature_of_tokens

_log = logging.getLogger(__name__)


@stage("sample")
def main(config: DictConfig) -> None:
    pins = Path(config.pins)
    if config.pin:
        folder, splits = Path(config.paths.manifests), _training_splits(config)
        rows = [row for split in splits for row in read_manifest(folder / f"{split}.jsonl")]
        ids = draw_sample(rows, hours=config.hours, seed=config.seed)
        told = ", ".join(splits)
        how = f"{len(ids)} utterances of {told}: {config.hours} h or all, by seed {config.seed}"
        write_pins(pins, ids, how=how)
        _log.info("%s: %s; commit it", pins, how)
        return
    refuse_tracked(config, config.paths.sample)
    from_audio = check_source(config) == "audio"
    num_utterances = (_from_audio if from_audio else _from_features)(config)
    told = told_choice(config, feature_of_tokens(stored_names(config)))
    _log.info("%s: %d pinned utterances%s", config.paths.sample, num_utterances, told)


def _training_splits(config: DictConfig) -> list[str]:
    there = split_names(config.paths.manifests)
    return present_splits(split_roles(config, "train"), there, config.corpus.name)


def _from_features(config: DictConfig) -> int:
    folder = Path(config.paths.features, feature_of_tokens(stored_names(config)))
    there = read_splits(folder) or standing_splits(folder)
    if not there:
        hint = "run python stages/extract.py"
        raise StoreError(f"stores in {folder}", expected="some", got="none", hint=hint)
    splits = present_splits(split_roles(config, "train"), there, config.corpus.name)
    return write_sample(
        features=[folder / split for split in splits],
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
        _training_splits(config),
        Reuse(overwrite=config.overwrite, numerics=config.numerics),
    )
    _log.info("%s: straight from audio; %s", config.paths.sample, done.tally)
    return done.num_utterances


if __name__ == "__main__":
    run_script(main)
