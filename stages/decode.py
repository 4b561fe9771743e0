"""Make an audio file of the stored codes of one utterance, to listen to.

Examples:
    python stages/decode.py feature=mimi id=a-01 out=a-01.wav
    python stages/decode.py corpus=demo feature=encodec_24khz id=a-01 out=a.flac
    python stages/decode.py feature=mimi id=a-01 out=a-01.wav --cfg job  # what would be run
"""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from pathlib import Path

from featbank.pipeline.configs import DecodeConfig
from featbank.pipeline.stage import run_script, stage

_log = logging.getLogger(__name__)


@stage(DecodeConfig)
def main(config: DecodeConfig) -> None:
    # imported here, for neither help nor a value that makes no sense should wait for torch
    from featbank.engine.decode import decode_utterance
    from featbank.pipeline.computing import feature_definition

    duration_s = decode_utterance(
        feature_definition(config), config.paths.features, config.id, Path(config.out)
    )
    _log.info("%s: %.2f s", config.out, duration_s)


if __name__ == "__main__":
    run_script(main)
