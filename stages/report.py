"""Checks -> metrics, plots and the HTML report."""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from pathlib import Path

from featbank.pipeline.choices import chosen_stores
from featbank.pipeline.configs import ReportConfig
from featbank.pipeline.corpus_summary import read_corpus
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked
from featbank.report.page import write_report
from featbank.stability.result import read_stabilities
from featbank.validation.result import read_check, require_good

_log = logging.getLogger(__name__)


@stage(ReportConfig)
def main(config: ReportConfig) -> None:
    refuse_tracked(config, config.paths.report)
    chosen = chosen_stores()
    results = [read_check(Path(config.paths.checks, f"{name}.json")) for name in chosen]
    corpus = read_corpus(config.paths.manifests)
    stabilities = read_stabilities(config.paths.stability, chosen, corpus.digest)
    report = write_report(results, corpus.said, config.paths.report, stabilities)
    _log.info("report: %s", report)
    require_good(results)


if __name__ == "__main__":
    run_script(main)
