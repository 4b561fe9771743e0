"""The report of a corpus, made by the stage `report` and by a `validate` of all choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from featbank.base.failure_kinds import failures_by_kind
from featbank.base.failures import iterate_failures
from featbank.base.split_names import FAILED_NAME
from featbank.files.provenance import file_sha256, package_versions
from featbank.pipeline.choices import chosen_stores
from featbank.pipeline.composition.composed import composed_stage
from featbank.pipeline.configs import ReportConfig, ValidateConfig
from featbank.pipeline.corpus_summary import read_corpus
from featbank.pipeline.dvc_outputs import dvc_project
from featbank.report.clips import ClipPlan, read_clips
from featbank.report.page import write_report
from featbank.report.stamp import PageStamp
from featbank.stability.result import read_stabilities
from featbank.validation.result import CheckResult

_PACKAGES = ("dvc", "jinja2", "matplotlib", "numpy", "soundfile")


def config_of_report() -> ReportConfig:
    """Compose the stage `report`, with what is typed for a `validate` of all choices."""
    own = {one.name for one in fields(ReportConfig)}
    but = [one.name for one in fields(ValidateConfig) if one.name not in own]
    return composed_stage(ReportConfig, {}, but=but)


def make_report(config: ReportConfig, results: Sequence[CheckResult]) -> Path:
    """Write the report of a corpus; return its path.

    Args:
        config: of `report`.
        results: one a choice.

    Raises:
        FeatbankError: what the checks, manifests or stabilities raise where they are damaged.
    """
    corpus = read_corpus(config.paths.manifests)
    plan = ClipPlan(
        manifests=config.paths.manifests,
        root=config.corpus.root,
        license=corpus.license,
        number=config.sounds,
        max_s=config.sound_s,
        unheard=config.unheard,
    )
    return write_report(
        results,
        corpus.said,
        config.paths.report,
        read_stabilities(config.paths.stability, chosen_stores(), corpus.digest),
        clips=read_clips(results, plan),
        failed=failures_by_kind(iterate_failures(config.paths.manifests / FAILED_NAME)),
        stamp=_stamp() if config.stamp else None,
    )


def _stamp() -> PageStamp:
    """Return when a page is made and of which revision: of git where there is one, and of DVC."""
    with dvc_project() as repo:
        scm, lock = repo.scm, Path(repo.root_dir, "dvc.lock")
        has_commits = hasattr(scm, "is_dirty") and not scm.no_commits
        return PageStamp(
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            revision=scm.get_rev() if has_commits else "",
            is_dirty=has_commits and scm.is_dirty(),
            lock=file_sha256(lock) if lock.is_file() else "",
            versions=package_versions(_PACKAGES),
        )
