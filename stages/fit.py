"""Fit a codebook to the frames of samples, by k-means.

Examples:
    python stages/fit.py                      # the first codebook of params.yaml
    python stages/fit.py tokenizer=kmeans500  # more units
    python stages/fit.py feature=fbank        # of another feature
"""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from dataclasses import asdict

from featbank.base.progress import progress_bar
from featbank.errors import ConfigError
from featbank.pipeline.configs import FitConfig
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked

_log = logging.getLogger(__name__)


@stage(FitConfig)
def main(config: FitConfig) -> None:
    refuse_tracked(config, config.paths.codebook)
    if config.tokenizer.codebook != config.tokenizer.name:
        raise ConfigError(
            f"codebook of tokenizer {config.tokenizer.name}",
            expected=f"a fit of tokenizer={config.tokenizer.codebook}, whose centroids it shares",
            got=f"tokenizer={config.tokenizer.name}",
        )
    config.feature.of_tokens(config.stored)  # or there is none such
    # imported here, for neither help nor a value that makes no sense should wait for torch
    from featbank.numerics import Computing
    from featbank.pipeline.dvc_outputs import drop_damaged
    from featbank.tokenizers.adopt import ImportedCodebook, adopt_codebook
    from featbank.tokenizers.codebook_task import CodebookTask
    from featbank.tokenizers.fit import fit_codebook
    from featbank.tokenizers.kmeans import KMeans

    task = CodebookTask(
        sample=config.paths.sample,
        out=config.paths.codebook,
        seed=config.seed,
        corpora=sorted(path.stem for path in config.pins.glob("*.txt")),
        computing=Computing(device=config.device, num_threads=config.num_threads, batch_s=0),
        overwrite=config.overwrite,
    )
    if config.tokenizer.imported is not None:
        imported = ImportedCodebook.named(asdict(config.tokenizer.imported))
        codebook = adopt_codebook(task, imported)
        how = "imported"
    else:
        assert config.tokenizer.kmeans is not None  # or a codebook is imported
        kmeans = KMeans(**asdict(config.tokenizer.kmeans))
        name = f"fit {config.tokenizer.name}"
        with progress_bar(name, unit="frames at most", show=config.runtime.progress) as advance:
            codebook = fit_codebook(task, kmeans, config.runtime.work, advance)
        fitted_on = codebook.provenance["fitted_on"]
        how = f"fitted on {fitted_on['num_frames_drawn']} of {fitted_on['num_frames']} frames"
    # DVC would link a damaged object of its cache over the file that is made anew
    for removed in drop_damaged([config.paths.codebook]):
        _log.warning("damaged, and removed from DVC's cache: %s", removed)
    how += config.feature.told_choice(codebook.provenance["fitted_on"]["feature"])
    _log.info(
        "%s: %s units, %s, mean squared distance %.4g",
        config.paths.codebook,
        " x ".join(str(number) for number in codebook.centroids.shape[:-1]),
        how,
        codebook.provenance["mean_squared_distances"][-1],
    )


if __name__ == "__main__":
    run_script(main)
