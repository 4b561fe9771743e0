"""A k-means fitted elsewhere -> a codebook's file: `file=km.bin out=codebooks/km.safetensors`."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from pathlib import Path

from omegaconf import DictConfig

from featbank.base.trusted import check_type
from featbank.errors import ConfigError
from featbank.pipeline.stage import refuse_tracked, run_script, stage

_log = logging.getLogger(__name__)


@stage("import_codebook")
def main(config: DictConfig) -> None:
    for key in ("file", "out"):
        if config[key] is None:
            raise ConfigError(key, expected="a path", got="null", hint=f"add {key}=...")
        check_type(config[key], str, key)
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
