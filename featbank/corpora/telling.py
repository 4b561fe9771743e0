"""What `prepare` tells of a corpus: what decides its splits, and what each of them holds."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from featbank.base.amounts import amount
from featbank.corpora.base import Corpus
from featbank.corpora.joining import Join
from featbank.corpora.manifests import Manifests
from featbank.corpora.requiring import told_left_out
from featbank.corpora.scanning import Survey
from featbank.corpora.summary import told_warnings

_log = logging.getLogger(__name__)

_NAMED = 10
_MANY_BACK = 20  # one of so many rows


def tell_splits(corpus: Corpus, join: Join) -> None:
    """Tell the parts, what decides unnamed splits, and that no split is played faster.

    Args:
        corpus: whose rows are read.
        join: that has read them.
    """
    if not join.names_splits:
        _log.info(
            "%s: it names no splits, so corpus.split_rule makes them, %s",
            corpus.name, corpus.split_rule.told,
        )  # fmt: skip
    if any(join.parts):
        named = [f"{part or 'no name'} ({number})" for part, number in sorted(join.parts.items())]
        more = "..., " if len(named) > _NAMED else ""
        _log.info(
            "%s: %d parts, which share no shards: %s%s",
            corpus.name, len(named), more, ", ".join(named[-_NAMED:]),
        )  # fmt: skip
    if corpus.speeds != (1.0,) and not {*corpus.train} & {*join.splits}:
        _log.warning(
            "%s: nothing is played at corpus.speeds, for it has no split of corpus.train: %s",
            corpus.name, ", ".join(corpus.train),
        )  # fmt: skip


def tell_forgotten(corpus: Corpus, join: Join) -> None:
    """Tell how many rows were left out, for who is in them has withdrawn."""
    if join.num_forgotten:
        _log.warning(
            "%s: %d rows are of forgotten utterances and are left out, as conf/forgotten.json has "
            "it: take them and their audio out of %s",
            corpus.name, join.num_forgotten, corpus.root,
        )  # fmt: skip


def tell_scans(corpus: Corpus, survey: Survey) -> None:
    """Tell how many files were decoded, and how many had not changed."""
    _log.info(
        "%s: %d files scanned, %d as remembered",
        corpus.name, survey.num_pending, survey.num_known,
    )  # fmt: skip


def tell_manifests(summary: Mapping[str, Any], manifests: Manifests) -> None:
    """Tell what has been written of each split, and what a person may not have meant.

    Args:
        summary: what `corpus.json` holds.
        manifests: that are written.
    """
    name = summary["name"]
    num_written = sum(counts["utterances"] for counts in summary["splits"].values())
    if manifests.num_back * _MANY_BACK > num_written:
        _log.warning(
            "%s: in the order of their ids, utterances go back to an earlier row group of Parquet "
            "%d times: each worker of a run may read all groups, and keeps them in TMPDIR until "
            "it has come by all of their rows; leave the id out of corpus.columns to have "
            "utterances named by file and row",
            name, manifests.num_back,
        )  # fmt: skip
    for split, counts in summary["splits"].items():
        if counts["utterances"]:
            _log.info(
                "%s %s: %d utterances, %s h, %d speakers%s",
                name, split, counts["utterances"], amount(counts["hours"], 2), counts["speakers"],
                _texts(counts["utterances"], manifests.num_without_text[split]),
            )  # fmt: skip
        else:
            _log.warning("%s %s: empty", name, split)
    if (left_out := summary.get("left_out")) and left_out["rows"]:
        _log.info(
            "%s: corpus.require leaves %d rows out: %s",
            name, left_out["rows"], told_left_out(left_out),
        )  # fmt: skip
    for sentence in _warnings(summary):
        _log.warning("%s: %s", name, sentence)


def _texts(number: int, without: int) -> str:
    """Say how many of a number of utterances have no text, which a wrong name of a column costs."""
    if without == number:
        return ", none with text"
    return f", {without} without text" if without else ""


def _warnings(summary: Mapping[str, Any]) -> Iterator[str]:
    if unused := summary["unused_splits"]:
        yield f"corpus.splits names what the corpus has not: {', '.join(unused)}"
    if number := summary["num_unlisted"]:
        more = ", ..." if number > _NAMED else ""
        yield (
            f"{number} audio files are in no table or left out, named in corpus.json: "
            f"{', '.join(summary['unlisted'][:_NAMED])}{more}"
        )
    if number := summary["num_hidden"]:
        yield f"{number} audio files are hidden, or in a hidden folder: they are no utterances"
    if number := summary["num_clipped"]:
        yield f"{number} segments end up to a rounding behind their files, and are cut there"
    if number := summary["num_failures"]:
        yield f"{number} utterances failed, see failures.jsonl"
    yield from told_warnings(summary)
