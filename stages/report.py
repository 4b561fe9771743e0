"""Checks -> metrics, plots and the HTML report."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from pathlib import Path

from omegaconf import DictConfig

from featbank.files.provenance import digest
from featbank.pipeline.stage import chosen_stores, read_corpus, refuse_tracked, run_script, stage
from featbank.report.page import write_report
from featbank.stability.result import read_stabilities
from featbank.validation.result import read_check, require_good

_log = logging.getLogger(__name__)


@stage("report")
def main(config: DictConfig) -> None:
    refuse_tracked(config, config.paths.report)
    chosen = chosen_stores()
    results = [read_check(Path(config.paths.checks, f"{name}.json")) for name in chosen]
    corpus = read_corpus(config.paths.manifests)
    stabilities = read_stabilities(config.paths.stability, chosen, digest(corpus))
    report = write_report(results, corpus, Path(config.paths.report), stabilities)
    _log.info("report: %s", report)
    require_good(results)


if __name__ == "__main__":
    run_script(main)
