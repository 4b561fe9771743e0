"""Preparation: a corpus in, one manifest a split out.

Rows go by in a stream, and are sorted on disk: by file, to be joined with what is found of it, then
by id. So memory holds as much for ten million rows as for ten thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from featbank.audio import forget_groups
from featbank.base.failures import allowed_failures
from featbank.base.notices import tell
from featbank.base.progress import Advance
from featbank.base.split_names import FAILED_NAME, SUMMARY_NAME
from featbank.corpora.base import EACH, Corpus
from featbank.corpora.failing import FailureList
from featbank.corpora.forgotten import NOBODY, Forgotten
from featbank.corpora.joining import Join
from featbank.corpora.labelling import Labelling
from featbank.corpora.links import Links
from featbank.corpora.manifests import Manifests
from featbank.corpora.publishing import check_replaceable, clear_leftovers, publish
from featbank.corpora.scanning import Survey
from featbank.corpora.scans import ScanMemory
from featbank.corpora.scratch import Scratch
from featbank.corpora.telling import tell_forgotten, tell_manifests, tell_scans, tell_splits
from featbank.files.provenance import readable_json, write_atomic
from featbank.runners.base import Runner
from featbank.runners.threads import ThreadRunner

Progress = Callable[[float], AbstractContextManager[Advance]]
"""Given the seconds of audio to come, shows a bar: `functools.partial(progress_bar, "prepare")`."""


def _no_progress(_: float) -> AbstractContextManager[Advance]:
    return nullcontext(lambda _: None)


def prepare(
    corpus: Corpus,
    out: str | Path,
    *,
    failures_path: str | Path,
    max_failures: float = 0,
    num_workers: int | None = 1,
    runner: Runner | None = None,
    scans: str | Path | None = None,
    link_roots: Callable[[], Sequence[Path]] = tuple,
    progress: Progress = _no_progress,
    forgotten: Forgotten = NOBODY,
) -> dict[str, Any]:
    """Decode the files of a corpus and write the manifests of its splits, all or nothing.

    Files that an earlier run has decoded are not decoded again, as long as nothing has changed
    about them.

    Args:
        corpus: to prepare.
        out: folder of the manifests, replaced as a whole: `<split>.jsonl` for each split of the
            corpus, `corpus.json`, which states them, and, if an utterance failed, `failures.jsonl`.
        failures_path: where the failure list goes when it is over the budget.
        max_failures: utterances that may fail; below 1, a share of them.
        num_workers: files decoded at a time, in threads; None for one a processor. It changes no
            byte.
        runner: decodes the files instead; it changes no byte.
        scans: folder for what is found of the files, for the next run, and for what is sorted; None
            for one beside `failures_path`, or beside `out` where that is in it.
        link_roots: gives folders outside of the corpus that its links may lead into, besides.
        progress: shows how far it is.
        forgotten: rows of these are left out, counted and in no list: nothing may name them.

    Returns:
        What `corpus.json` holds.

    Raises:
        CorpusError: the corpus cannot be read or holds nothing, its labels are missing, malformed
            or of no utterance of it, or `out` holds something else.
        FailureBudgetError: too many utterances failed; `out` is as it was.
        OSError: the machine failed, not a file.
    """
    out, failures_path = Path(out), Path(failures_path)
    clear_leftovers(out)
    check_replaceable(out)
    allowed_failures(max_failures, 0)
    threads = ThreadRunner(num_workers)
    folder = _scans_beside(failures_path, out) if scans is None else Path(scans)
    tell(phase="reading the corpus")
    with Scratch(folder) as scratch:
        failures = FailureList(scratch)
        labelling = Labelling(corpus)
        join = Join(corpus, failures, scratch, labelling.meet, forgotten)
        join.read(Links(corpus.root, follow=corpus.follow_links, accepted=link_roots))
        labelling.require_any()
        tell_splits(corpus, join)
        memory = ScanMemory(folder, scratch)
        survey = Survey(corpus.root, memory, tolerate=corpus.tolerate, scratch=scratch)
        try:
            tell(phase="looking for files that have changed")
            survey.look(join.files(), join.take)
            total_s = 0.0 if progress is _no_progress else survey.estimate_s()
            with progress(total_s) as advance:
                survey.scan(runner or threads, advance, join.take)
        finally:
            memory.close()
            forget_groups()
        tell(phase="writing manifests")
        memory.settle()
        manifests = Manifests(join.splits, failures, scratch)
        join.resolve(labelling.counted(manifests.add))
        with publish(out) as beside:
            manifests.write(beside)
            failures.check_budget(
                total=join.num_rows, max_failures=max_failures, path=failures_path
            )
            if failures.number:
                failures.write(beside / FAILED_NAME)
            summary = _summary(corpus, failures, join, manifests)
            write_atomic(beside / SUMMARY_NAME, readable_json(summary))
    failures_path.unlink(missing_ok=True)  # of an earlier run, mended since
    tell_manifests(summary, manifests)
    tell_forgotten(corpus, join)
    labelling.log()
    tell_scans(corpus, survey)
    return summary


def _scans_beside(failures_path: Path, out: Path) -> Path:
    if failures_path.is_relative_to(out):  # which is replaced as a whole
        return out.with_name(f".{out.name}.scans")
    return failures_path.with_suffix(".scans")


def _summary(
    corpus: Corpus, failures: FailureList, join: Join, manifests: Manifests
) -> dict[str, Any]:
    counted, tallied = join.summary(), manifests.summary()
    upsampled = counted.pop("upsampled")
    return {
        "name": corpus.name,
        "license": corpus.license,
        "url": corpus.url,
        "tolerate": sorted(corpus.tolerate),
        **_variants(corpus),
        "unused_splits": corpus.splits.unused,
        "num_failures": failures.number,
        **({"num_forgotten": join.num_forgotten} if join.num_forgotten else {}),
        **counted,
        **tallied,
        "warnings": {**tallied["warnings"], "upsampled": upsampled},
    }


def _variants(corpus: Corpus) -> dict[str, Any]:
    """Return of which channels and speeds a corpus has variants, where it has."""
    said: dict[str, Any] = {"channel": EACH} if corpus.each_channel else {}
    return said if corpus.speeds == (1.0,) else {**said, "speeds": list(corpus.speeds)}
