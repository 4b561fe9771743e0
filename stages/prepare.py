"""Find the audio of a corpus, and write its manifests, one a split.

Examples:
    python stages/prepare.py                               # the first corpus of params.yaml
    python stages/prepare.py corpus=folder corpus.name=mine corpus.root=corpora/demo
    python stages/prepare.py runner=inline overwrite=true  # in one process, anew
"""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import functools
from pathlib import Path

from featbank.base.building import build
from featbank.base.folder_names import check_name
from featbank.base.progress import progress_bar
from featbank.corpora.base import Corpus
from featbank.corpora.forgotten import FORGOTTEN, read_forgotten
from featbank.corpora.prepare import prepare
from featbank.pipeline.configs import PrepareConfig
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked
from featbank.runners.base import Runner


@stage(PrepareConfig)
def main(config: PrepareConfig) -> None:
    refuse_tracked(config, config.paths.manifests)
    runner = build(config.runner.arguments, config.trusted_modules, Runner)
    corpus = build(config.corpus.arguments, config.trusted_modules, Corpus)
    prepare(
        corpus,
        config.paths.manifests,
        failures_path=Path(config.runtime.failures, f"prepare-{corpus.name}.jsonl"),
        max_failures=config.max_failures,
        runner=runner,
        scans=Path(config.runtime.scans, check_name(corpus.name, "corpus.name")),
        link_roots=_cache_folders,
        progress=functools.partial(progress_bar, "prepare", show=config.runtime.progress),
        forgotten=read_forgotten(FORGOTTEN),
    )


def _cache_folders() -> list[Path]:
    # imported here: only links that lead out of the corpus need it
    from featbank.pipeline.dvc_outputs import cache_folders

    return cache_folders()


if __name__ == "__main__":
    run_script(main)
