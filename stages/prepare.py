"""Audio -> manifests, one a split."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import functools
from pathlib import Path

from omegaconf import DictConfig

from featbank.base.progress import progress_bar
from featbank.base.trusted import build, check_name
from featbank.corpora.base import Corpus
from featbank.corpora.prepare import prepare
from featbank.pipeline.composed import plain
from featbank.pipeline.stage import refuse_tracked, run_script, stage
from featbank.runners.base import Runner


@stage("prepare")
def main(config: DictConfig) -> None:
    refuse_tracked(config, config.paths.manifests)
    runner = build(plain(config.runner), config.trusted_modules, Runner)
    corpus = build(plain(config.corpus), config.trusted_modules, Corpus)
    prepare(
        corpus,
        Path(config.paths.manifests),
        failures_path=Path(config.runtime.failures, f"prepare-{corpus.name}.jsonl"),
        max_failures=config.max_failures,
        runner=runner,
        scans=Path(config.runtime.scans, check_name(corpus.name, "corpus.name")),
        link_roots=_cache_folders,
        progress=functools.partial(progress_bar, "prepare", show=config.runtime.progress),
    )


def _cache_folders() -> list[Path]:
    # imported here: only links that lead out of the corpus need it
    from featbank.pipeline.dvc_outputs import cache_folders

    return cache_folders()


if __name__ == "__main__":
    run_script(main)
