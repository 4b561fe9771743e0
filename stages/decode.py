"""The stored codes of one utterance -> an audio file: `feature=mimi id=a-01 out=a-01.wav`."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from pathlib import Path

from omegaconf import DictConfig

from featbank.errors import ConfigError
from featbank.pipeline.stage import run_script, stage

_log = logging.getLogger(__name__)


@stage("decode")
def main(config: DictConfig) -> None:
    for key in ("id", "out"):
        if config[key] is None:
            raise ConfigError(key, expected="a value", got="null", hint=f"add {key}=...")
        if not isinstance(config[key], str):  # 103_1240 is a number to YAML
            raise ConfigError(
                key, expected="text", got=config[key], hint=f"quote it twice: \"{key}='...'\""
            )
    # imported here, for neither help nor a value that makes no sense should wait for torch
    from featbank.engine.decode import decode_utterance
    from featbank.pipeline.computing import feature_definition

    duration_s = decode_utterance(
        feature_definition(config), Path(config.paths.features), config.id, Path(config.out)
    )
    _log.info("%s: %.2f s", config.out, duration_s)


if __name__ == "__main__":
    run_script(main)
