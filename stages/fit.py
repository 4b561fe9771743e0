"""Sample -> codebook."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from pathlib import Path

from omegaconf import DictConfig

from featbank.base.trusted import construct
from featbank.pipeline.composed import plain
from featbank.pipeline.definitions import told_choice
from featbank.pipeline.stage import refuse_tracked, run_script, stage

_log = logging.getLogger(__name__)


@stage("fit")
def main(config: DictConfig) -> None:
    refuse_tracked(config, config.paths.codebook)
    # imported here, for neither help nor a value that makes no sense should wait for torch
    from featbank.numerics import Computing
    from featbank.pipeline.dvc_outputs import drop_damaged
    from featbank.tokenizers.adopt import ImportedCodebook, adopt_codebook
    from featbank.tokenizers.codebook_task import CodebookTask
    from featbank.tokenizers.fit import fit_codebook
    from featbank.tokenizers.kmeans import KMeans

    task = CodebookTask(
        sample=Path(config.paths.sample),
        out=Path(config.paths.codebook),
        seed=config.seed,
        computing=Computing(device=config.device, num_threads=config.num_threads, batch_s=0),
        overwrite=config.overwrite,
    )
    if config.tokenizer.imported is not None:
        imported = ImportedCodebook.named(plain(config.tokenizer.imported))
        codebook = adopt_codebook(task, imported)
        how = "imported"
    else:
        kmeans = construct(KMeans, plain(config.tokenizer.kmeans), "tokenizer.kmeans")
        codebook = fit_codebook(task, kmeans, Path(config.runtime.work))
        fitted_on = codebook.provenance["fitted_on"]
        how = f"fitted on {fitted_on['num_frames_drawn']} of {fitted_on['num_frames']} frames"
    # DVC would link a damaged object of its cache over the file that is made anew
    for removed in drop_damaged([Path(config.paths.codebook)]):
        _log.warning("damaged, and removed from DVC's cache: %s", removed)
    how += told_choice(config, codebook.provenance["fitted_on"]["feature"])
    _log.info(
        "%s: %s units, %s, mean squared distance %.4g",
        config.paths.codebook,
        " x ".join(str(number) for number in codebook.centroids.shape[:-1]),
        how,
        codebook.provenance["mean_squared_distances"][-1],
    )


if __name__ == "__main__":
    run_script(main)
