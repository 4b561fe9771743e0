"""Manifests and stores -> checks; without `only=` those of every choice, and the report."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging

import hydra
from omegaconf import DictConfig

from featbank.stage import stage

_log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="../conf", config_name="validate")
@stage
def main(config: DictConfig) -> None:
    raise NotImplementedError


if __name__ == "__main__":
    main()
