"""Sample -> codebook."""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from dataclasses import asdict

from featbank.pipeline.configs import FitConfig
from featbank.pipeline.stage import refuse_tracked, run_script, stage

_log = logging.getLogger(__name__)


@stage(FitConfig)
def main(config: FitConfig) -> None:
    refuse_tracked(config, config.paths.codebook)
    # imported here, for neither help nor a value that makes no sense should wait for torch
    from featbank.numerics import Computing
    from featbank.pipeline.dvc_outputs import drop_damaged
    from featbank.tokenizers.adopt import adopt_codebook
    from featbank.tokenizers.fit import fit_codebook

    computing = Computing(device=config.device, num_threads=config.num_threads, batch_s=0)
    if config.tokenizer.imported is not None:
        codebook = adopt_codebook(
            sample=config.paths.sample,
            out=config.paths.codebook,
            imported=asdict(config.tokenizer.imported),
            seed=config.seed,
            computing=computing,
            overwrite=config.overwrite,
        )
        how = "imported"
    else:
        assert config.tokenizer.kmeans is not None  # or a codebook is imported
        codebook = fit_codebook(
            sample=config.paths.sample,
            out=config.paths.codebook,
            settings=asdict(config.tokenizer.kmeans),
            seed=config.seed,
            work=config.runtime.work,
            computing=computing,
            overwrite=config.overwrite,
        )
        fitted_on = codebook.provenance["fitted_on"]
        how = f"fitted on {fitted_on['num_frames_drawn']} of {fitted_on['num_frames']} frames"
    # DVC would link a damaged object of its cache over the file that is made anew
    for removed in drop_damaged([config.paths.codebook]):
        _log.warning("damaged, and removed from DVC's cache: %s", removed)
    how += config.feature.told_choice
    _log.info(
        "%s: %s units, %s, mean squared distance %.4g",
        config.paths.codebook,
        " x ".join(str(number) for number in codebook.centroids.shape[:-1]),
        how,
        codebook.provenance["mean_squared_distances"][-1],
    )


if __name__ == "__main__":
    run_script(main)
