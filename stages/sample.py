"""Store the features of a few pinned utterances, which codebooks are fitted on.

Examples:
    python stages/sample.py                                     # for the first codebook
    python stages/sample.py feature=fbank runner.num_workers=2  # of another feature
    python stages/sample.py source=audio                        # with no feature store
"""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from pathlib import Path

from featbank.base.progress import progress_bar
from featbank.errors import StoreError
from featbank.pipeline.configs import SampleConfig
from featbank.pipeline.pinning import draw_first_pins, draw_pins, training_splits
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked
from featbank.store.splits import read_splits, standing_splits
from featbank.tokenizers.sample import present_splits, read_pins, write_sample

_log = logging.getLogger(__name__)


@stage(SampleConfig)
def main(config: SampleConfig) -> None:
    if config.pin:
        draw_pins(config)
        return
    refuse_tracked(config, _out(config))
    draw_first_pins(config, _out(config))
    from_audio = config.source == "audio"
    num_utterances = (_from_audio if from_audio else _from_features)(config)
    told = config.feature.told_choice(config.feature.of_tokens(config.stored))
    _log.info("%s: %d pinned utterances%s", _out(config), num_utterances, told)


def _out(config: SampleConfig) -> Path:
    return config.paths.sample / config.corpus.name


def _from_features(config: SampleConfig) -> int:
    folder = config.paths.features / config.feature.of_tokens(config.stored)
    there = read_splits(folder) or standing_splits(folder)
    if not there:
        hint = "run python stages/extract.py"
        raise StoreError(f"stores in {folder}", expected="some", got="none", hint=hint)
    splits = present_splits(config.corpus.train, there, config.corpus.name)
    number, show = len(read_pins(config.pins)), config.runtime.progress
    with progress_bar("sample", number, unit="utterances", show=show) as advance:
        return write_sample(
            features=[folder / split for split in splits],
            pins=config.pins,
            out=_out(config),
            overwrite=config.overwrite,
            advance=advance,
        )


def _from_audio(config: SampleConfig) -> int:
    # imported here: a sample of a feature store needs neither an encoder nor a decoder of audio
    from featbank.engine.run import Reuse
    from featbank.engine.sample_audio import PinnedFeature, sample_audio
    from featbank.pipeline.computing import computing_run

    name = f"sample-{config.fit_on}-{config.corpus.name}-{config.stored}"
    pinned = PinnedFeature(
        feature=config.feature.of_tokens(config.stored),
        pins=config.pins,
        splits=training_splits(config),
    )
    reuse = Reuse(overwrite=config.overwrite, numerics=config.numerics)
    with progress_bar("sample", show=config.runtime.progress) as advance:
        done = sample_audio(computing_run(config, name, advance), _out(config), pinned, reuse)
    _log.info("%s: straight from audio; %s", _out(config), done.tally)
    return done.num_utterances


if __name__ == "__main__":
    run_script(main)
