"""Feature store -> the pinned utterances that a codebook is fitted on."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from pathlib import Path

import hydra
from omegaconf import DictConfig

from featbank.manifest import read_manifest
from featbank.sampling import draw_sample, write_pins, write_sample
from featbank.stage import refuse_tracked, stage

_log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="../conf", config_name="sample")
@stage
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
    num_utterances = write_sample(
        features=Path(config.paths.features, config.feature.storage[0].name, "train"),
        pins=pins,
        out=Path(config.paths.sample),
        overwrite=config.overwrite,
    )
    _log.info("%s: %d pinned utterances", config.paths.sample, num_utterances)


if __name__ == "__main__":
    main()
