"""Drift for `validate` with `against=`: this version of a corpus is held against another one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from featbank.base.amounts import amount
from featbank.base.printing import print_table
from featbank.pipeline.configs import ValidateConfig
from featbank.pipeline.older_version import older_version
from featbank.validation.drift import CorpusVersion, find_drift
from featbank.validation.drift_result import Drift, DriftKind, require_no_drift, write_drift
from featbank.validation.result import CheckResult

_log = logging.getLogger(__name__)


def hold_against(config: ValidateConfig, results: Sequence[CheckResult]) -> None:
    """Hold checks and manifests against those of another version; write and print what is found.

    Args:
        config: of `validate`.
        results: the checks of this version.

    Raises:
        ValidationError: something drifted, and the check is strict.
        FeatbankError: the other version cannot be read; see `older_version`.
    """
    given = asdict(config.drift)
    checks = {result.name: result for result in results}
    with older_version(config, list(checks)) as older:
        drift = find_drift(
            older,
            CorpusVersion(manifests=config.paths.manifests, checks=checks),
            corpus=config.corpus.name,
            against=str(config.against),
            thresholds={kind: given[kind] for kind in DriftKind},
            chance=given["chance"],
        )
    path = Path(config.runtime.drift, f"{config.corpus.name}.json")
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
        columns = dict.fromkeys(("where", "what", "by", "limit", "was", "is"), False)
        print_table(
            {**columns, "by": True, "limit": True},
            (
                (
                    shift.place,
                    shift.kind.replace("_", " "),
                    amount(shift.distance, 2),
                    amount(shift.limit, 2),
                    shift.older,
                    shift.newer,
                )
                for shift in findings
            ),
        )
    _log.info(
        "%s against %s: %d of %d measures drifted; all are in %s",
        drift.corpus, drift.against, len(findings), len(drift.shifts), path,
    )  # fmt: skip
