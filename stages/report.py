"""Checks -> metrics, plots and the HTML report."""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from pathlib import Path

from featbank.files.provenance import digest
from featbank.pipeline.choices import chosen_stores
from featbank.pipeline.configs import ReportConfig
from featbank.pipeline.stage import read_corpus, refuse_tracked, run_script, stage
from featbank.report.page import write_report
from featbank.validation.result import read_check, require_good
from featbank.validation.stability import read_stabilities

_log = logging.getLogger(__name__)


@stage(ReportConfig)
def main(config: ReportConfig) -> None:
    refuse_tracked(config, config.paths.report)
    chosen = chosen_stores()
    results = [read_check(Path(config.paths.checks, f"{name}.json")) for name in chosen]
    corpus = read_corpus(config.paths.manifests)
    stabilities = read_stabilities(config.paths.stability, chosen, digest(corpus))
    report = write_report(results, corpus, config.paths.report, stabilities)
    _log.info("report: %s", report)
    require_good(results)


if __name__ == "__main__":
    run_script(main)
