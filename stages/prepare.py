"""Audio -> manifests, one a split."""

import os
import sys

# stages/tokenize.py would shadow the standard library's: the root takes this folder's place on the path
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from pathlib import Path

import hydra
from omegaconf import DictConfig

from featbank.corpora.base import Corpus
from featbank.corpora.prepare import prepare
from featbank.progress import progress_bar
from featbank.stage import build_node, plain, refuse_tracked, stage

_log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="../conf", config_name="prepare")
@stage
def main(config: DictConfig) -> None:
    refuse_tracked(config, config.paths.manifests)
    corpus = build_node(config, "corpus", Corpus)
    summary = prepare(
        corpus,
        Path(config.paths.manifests),
        max_failures=config.max_failures,
        failures_path=Path(config.runtime.failures, f"prepare-{config.corpus.name}.jsonl"),
    )


if __name__ == "__main__":
    main()
