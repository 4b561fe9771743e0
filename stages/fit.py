"""Sample -> codebook."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from pathlib import Path

import hydra
from omegaconf import DictConfig

from featbank.fitting import fit_codebook
from featbank.numerics import Computing
from featbank.stage import plain, refuse_tracked, stage

_log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="../conf", config_name="fit")
@stage
def main(config: DictConfig) -> None:
    refuse_tracked(config, config.paths.codebook)
    codebook = fit_codebook(
        sample=Path(config.paths.sample),
        out=Path(config.paths.codebook),
        settings=plain(config.tokenizer.kmeans),
        seed=config.seed,
        work=Path(config.runtime.work),
        computing=Computing(device=config.device, num_threads=config.num_threads, batch_s=0),
        overwrite=config.overwrite,
    )
    _log.info(
        "%s: %s units fitted on %d of %d frames, mean squared distance %.4g",
        config.paths.codebook,
        " x ".join(str(number) for number in codebook.centroids.shape[:-1]),
        codebook.provenance["fitted_on"]["num_frames_drawn"],
        codebook.provenance["fitted_on"]["num_frames"],
        codebook.provenance["mean_squared_distances"][-1],
    )


if __name__ == "__main__":
    main()
