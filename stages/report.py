"""Join the checks of all choices in the HTML report of a corpus.

Examples:
    python stages/report.py              # of the first corpus
    python stages/report.py corpus=demo  # of another one
    python stages/report.py --cfg job    # what would be run
"""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from collections.abc import Collection
from pathlib import Path

from featbank.base.notices import tell
from featbank.pipeline.choices import chosen_stores
from featbank.pipeline.configs import ReportConfig
from featbank.pipeline.dvc_outputs import DvcPlace, find_outputs
from featbank.pipeline.reporting import make_report
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked
from featbank.validation.result import read_check, require_good

_log = logging.getLogger(__name__)

_ELSEWHERE = "write it elsewhere: paths.report=FOLDER"


@stage(ReportConfig)
def main(config: ReportConfig) -> None:
    refuse_tracked(config, config.paths.report, hint=_ELSEWHERE)
    chosen = chosen_stores()
    for folder in (config.paths.checks, config.paths.stability):
        _drop_unchosen(folder, chosen)
    results = [read_check(Path(config.paths.checks, f"{name}.json")) for name in chosen]
    tell(phase="drawing the report")
    _log.info("report: %s", make_report(config, results))
    require_good(results)


def _drop_unchosen(folder: Path, chosen: Collection[str]) -> None:
    """Remove what other choices have left, of which this stage depends on the whole folder.

    A clone has none of it, and would take the folder for changed. What DVC's cache lacks stays.
    """
    files = {path: path.relative_to(folder).with_suffix("") for path in folder.rglob("*.json")}
    left = [path for path, name in files.items() if name.as_posix() not in chosen]
    for path, place in zip(left, find_outputs(left), strict=True):
        if place is DvcPlace.CACHE:
            path.unlink()
            _log.info("%s: not chosen any more, and removed; DVC's cache has it", path)


if __name__ == "__main__":
    run_script(main)
