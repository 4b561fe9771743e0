"""Preparation: a corpus in, one manifest a split out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from featbank.corpora.base import Corpus, CorpusRow
from featbank.corpora.publishing import check_replaceable, clear_leftovers, publish
from featbank.corpora.resolving import resolve
from featbank.corpora.scanning import estimate_duration_s, scan_files
from featbank.errors import AudioError, CorpusError
from featbank.failures import Failure, check_budget, printable, write_failures
from featbank.manifest import SPLITS, Utterance, check_id, write_manifest
from featbank.progress import Advance
from featbank.provenance import readable_json, write_atomic

_log = logging.getLogger(__name__)

_NAMED = 10

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
    progress: Progress = _no_progress,
) -> dict[str, Any]:
    """Decode every file of a corpus and write the manifests of its splits, all or nothing.

    Args:
        corpus: to prepare.
        out: folder of the manifests, replaced as a whole: `train.jsonl`, `dev.jsonl`, `test.jsonl`,
            `corpus.json` and, if an utterance failed, `failures.jsonl`.
        failures_path: where the failure list goes when it is over the budget.
        max_failures: utterances that may fail; below 1, a share of them.
        num_workers: files decoded at a time; None for one a processor. It changes no byte.
        progress: shows how far it is.

    Returns:
        What `corpus.json` holds.

    Raises:
        CorpusError: the corpus contradicts itself, or `out` holds something else.
        FailureBudgetError: too many utterances failed; `out` is as it was.
        OSError: the machine failed, not a file.
    """
    out = Path(out)
    clear_leftovers(out)
    check_replaceable(out)
    listing = corpus.list_utterances()
    _check_ids(listing.rows)
    _check_splits(listing.rows)
    splits = {row.id: _split_of(row, corpus) for row in listing.rows}
    files = sorted({row.audio for row in listing.rows})
    total_s = 0.0 if progress is _no_progress else estimate_duration_s(corpus.root, files)
    with progress(total_s) as advance:
        scans = scan_files(corpus.root, files, num_workers=num_workers, advance=advance)

    utterances: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    failures = list(listing.failures)
    for row in listing.rows:
        try:
            utterance = resolve(row, scans[row.audio], corpus.channel)
        except AudioError as error:
            failures.append(Failure.of(error, id=row.id, audio=row.audio, root=corpus.root))
        else:
            utterances[splits[row.id]].append(utterance)
    total = len(listing.rows) + len(listing.failures)
    check_budget(failures, total=total, max_failures=max_failures, path=failures_path)
    Path(failures_path).unlink(missing_ok=True)  # of an earlier run, mended since

    summary = _summary(
        corpus, utterances, len(failures), [printable(audio) for audio in listing.unlisted]
    )
    _log_summary(summary)
    with publish(out) as folder:
        for split, rows in utterances.items():
            write_manifest(folder / f"{split}.jsonl", rows)
        if failures:
            write_failures(folder / "failures.jsonl", failures)
        write_atomic(folder / "corpus.json", readable_json(summary))
    return summary


def _check_ids(rows: Sequence[CorpusRow]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        check_id(row.id, CorpusError)
        if row.id in seen:
            raise CorpusError(
                f"utterance {row.id!r}",
                expected="an id once",
                got=f"{seen[row.id]} and {row.where}",
                hint="give each its own id, or leave one of them out",
            )
        seen[row.id] = row.where


def _check_splits(rows: Sequence[CorpusRow]) -> None:
    """Refuse splits that are given to some only: the rule would send a speaker to two of them."""
    named = next((row for row in rows if row.split), None)
    unnamed = next((row for row in rows if not row.split), None)
    if named and unnamed:
        raise CorpusError(
            "splits of the corpus",
            expected="one named by every row, or by none",
            got=f"{named.split} in {named.where}, none in {unnamed.where}",
            hint="name them all, or leave the column out with corpus.ignore_columns",
        )


def _split_of(row: CorpusRow, corpus: Corpus) -> str:
    return row.split or corpus.split_rule.split_of(utterance_id=row.id, speaker=row.speaker)


def _summary(
    corpus: Corpus,
    utterances: Mapping[str, Sequence[Utterance]],
    num_failures: int,
    unlisted: Sequence[str],
) -> dict[str, Any]:
    return {
        "name": corpus.name,
        "license": corpus.license,
        "url": corpus.url,
        "num_failures": num_failures,
        "num_unlisted": len(unlisted),
        "unlisted": list(unlisted),
        "splits": {
            split: {
                "utterances": len(rows),
                "hours": round(math.fsum(row.duration_s for row in rows) / 3600, 6),
                "speakers": len({row.speaker for row in rows if row.speaker}),
            }
            for split, rows in utterances.items()
        },
    }


def _log_summary(summary: Mapping[str, Any]) -> None:
    name = summary["name"]
    for split, counts in summary["splits"].items():
        if counts["utterances"]:
            _log.info(
                "%s %s: %d utterances, %.2f h, %d speakers",
                name, split, counts["utterances"], counts["hours"], counts["speakers"],
            )  # fmt: skip
        else:
            _log.warning("%s %s: empty", name, split)
    if unlisted := summary["unlisted"]:
        more = ", ..." if len(unlisted) > _NAMED else ""
        _log.warning(
            "%s: %d audio files are in no table or left out, all named in corpus.json: %s%s",
            name, len(unlisted), ", ".join(unlisted[:_NAMED]), more,
        )  # fmt: skip
    if summary["num_failures"]:
        _log.warning("%s: %d utterances failed, see failures.jsonl", name, summary["num_failures"])
