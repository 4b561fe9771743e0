"""Facts and warnings about the corpus in the report, from the summary that `prepare` wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from featbank.base.amounts import format_duration
from featbank.base.terms import NOT_SAID, TERMS
from featbank.errors import ConfigError
from featbank.report.words import counted

_COUNTED = {
    "num_unlisted": "audio files are in no table or left out",
    "num_hidden": "audio files are hidden, or in a hidden folder: they are no utterances",
    "num_clipped": "segments ended up to a rounding behind their files, and were cut there",
}


def check_corpus(corpus: Mapping[str, Any]) -> None:
    """Refuse a summary of which no report can be made, before anything is written.

    Args:
        corpus: what `corpus.json` holds.

    Raises:
        ConfigError: a name is missing, or its value is of another kind.
    """
    try:
        list(corpus_facts(corpus))
        list(corpus_warnings(corpus))
        f"{corpus['num_failures']:,}"
        for split in corpus["splits"].values():
            for name in ("hours", "speakers", "utterances"):
                f"{split[name]:,}"
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            "corpus summary",
            expected="what prepare counts and warns of",
            got=repr(error),
            hint=f"run python stages/prepare.py corpus={corpus.get('name')}",
        ) from error


def corpus_facts(corpus: Mapping[str, Any]) -> Iterator[str]:
    """Return sentences on sample rates and channels, and on what was left out or taken.

    Args:
        corpus: what `corpus.json` holds.
    """
    rates = corpus.get("sample_rates", {})
    if rates:
        yield "sampled at " + ", ".join(
            f"{int(rate):,} Hz ({counted(one['utterances'], 'utterance')}, "
            f"{format_duration(3600 * one['hours'])})"
            for rate, one in rates.items()
        )
    channels = corpus.get("channels", {})
    if channels:
        yield "files by channels: " + ", ".join(
            f"{number}: {files:,}" for number, files in channels.items()
        )
    if corpus.get("channel"):
        yield "each channel of a file is an utterance"
    if speeds := corpus.get("speeds"):
        yield f"splits to train on are played at speeds {', '.join(f'{one:g}' for one in speeds)}"
    if tolerated := corpus.get("tolerate"):
        yield f"audio was taken in spite of: {', '.join(tolerated)}"
    if unused := corpus.get("unused_splits"):
        yield f"corpus.splits names what the corpus has not: {', '.join(unused)}"
    yield from _terms(corpus)
    for name, words in _COUNTED.items():
        if corpus.get(name):
            yield f"{corpus[name]:,} {words}"


def _terms(corpus: Mapping[str, Any]) -> Iterator[str]:
    """Yield utterances by what they say of their terms, and rows without the terms required."""
    for term in TERMS:
        counted = Counter[str]()
        for split in corpus["splits"].values():
            counted.update({value: of["utterances"] for value, of in split.get(term, {}).items()})
        if counted:
            yield f"utterances by {term} of their own: " + ", ".join(
                f"{value or NOT_SAID}: {number:,}" for value, number in sorted(counted.items())
            )
    if (left_out := corpus.get("left_out")) and left_out["rows"]:
        yield f"{left_out['rows']:,} rows did not have the terms required, and were left out"


def corpus_warnings(corpus: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield the warnings of a corpus: a sentence and examples each.

    Args:
        corpus: what `corpus.json` holds.
    """
    for found in corpus.get("warnings", {}).values():
        if found["count"]:
            yield f"{found['means']}: {found['count']:,}", list(found["examples"])
