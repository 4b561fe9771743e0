"""Drift for `validate` with `against=`: this version of a corpus is held against another one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from featbank.base.amounts import amount
from featbank.base.tables import TableColumn, print_table
from featbank.pipeline.configs import ValidateConfig
from featbank.pipeline.older_version import read_version
from featbank.validation.drift import CorpusVersion, find_drift
from featbank.validation.drift_result import Drift, DriftKind, require_no_drift, write_drift
from featbank.validation.result import CheckResult

_log = logging.getLogger(__name__)


def read_older(config: ValidateConfig, names: Sequence[str]) -> CorpusVersion:
    """Read the version that `against` names; see `read_version`.

    Args:
        config: of `validate`.
        names: of the choices that are checked.
    """
    return read_version(
        str(config.against),
        config.paths,
        corpus=config.corpus.name,
        names=names,
        work=config.runtime.work,
    )


def hold_against(
    config: ValidateConfig, older: CorpusVersion, results: Sequence[CheckResult]
) -> None:
    """Hold this version against an older one; write and print what is found.

    Args:
        config: of `validate`.
        older: as `read_older` read it.
        results: the checks of this version.

    Raises:
        ValidationError: something drifted, and the check is strict.
    """
    given, corpus = asdict(config.drift), config.corpus.name
    checks = {result.name: result for result in results}
    drift = find_drift(
        older,
        CorpusVersion.read(config.paths.manifests, checks),
        corpus=corpus,
        against=str(config.against),
        thresholds={kind: given[kind] for kind in DriftKind},
        chance=given["chance"],
    )
    path = Path(config.runtime.drift, f"{corpus}.json")
    write_drift(drift, path)
    _tell(drift, path)
    if config.strict:
        require_no_drift(drift)


def _tell(drift: Drift, path: Path) -> None:
    for note in drift.notes:
        _log.info("%s", note)
    for split, sizes in drift.splits.items():
        _log.info(
            "%s: %d utterances, was %d; %d are in both",
            split,
            sizes.newer,
            sizes.older,
            sizes.shared,
        )
    if findings := drift.findings:
        print_table(
            [
                TableColumn(key="where"),
                TableColumn(key="what"),
                TableColumn(key="by", is_number=True),
                TableColumn(key="limit", is_number=True),
                TableColumn(key="was"),
                TableColumn(key="is"),
            ],
            (
                {
                    "where": measure.place,
                    "what": measure.kind.replace("_", " "),
                    "by": amount(measure.distance, 2),
                    "limit": amount(measure.limit, 2),
                    "was": measure.older,
                    "is": measure.newer,
                }
                for measure in findings
            ),
        )
    _log.info(
        "%s against %s: %d of %d measures drifted; all are in %s",
        drift.corpus, drift.against, len(findings), len(drift.measures), path,
    )  # fmt: skip
