"""Convert a k-means that was fitted elsewhere to the file of a codebook.

Examples:
    python stages/import_codebook.py file=km.bin out=km.safetensors
    python stages/import_codebook.py file=centroids.npy out=data/codebooks/mine.safetensors
    python stages/import_codebook.py file=km.bin out=km.safetensors --cfg job
"""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from pathlib import Path

from featbank.pipeline.configs import ImportCodebookConfig
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked

_log = logging.getLogger(__name__)


@stage(ImportCodebookConfig)
def main(config: ImportCodebookConfig) -> None:
    refuse_tracked(config, config.out, hint="write it elsewhere")
    # imported here, for neither help nor a value that makes no sense should wait for torch
    from featbank.tokenizers.adopt import import_codebook

    codebook = import_codebook(Path(config.file), Path(config.out), overwrite=config.overwrite)
    units = " x ".join(str(number) for number in codebook.centroids.shape[:-1])
    _log.info("%s: %s units of %d values", config.out, units, codebook.centroids.shape[-1])
    _log.info("name it in a definition of conf/tokenizer, in place of the settings of kmeans:")
    _log.info("kmeans: null")
    _log.info("imported: {path: %s, sha256: %s}", config.out, codebook.digest)


if __name__ == "__main__":
    run_script(main)
