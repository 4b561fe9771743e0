"""The summary of a prepared corpus, corpus.json: name, license and the length of its audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featbank.base.terms import TERMS
from featbank.errors import ConfigError
from featbank.files.json_files import read_json
from featbank.files.provenance import digest

_MOST_HOURS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSummary:
    """Summary of a corpus, as `prepare` wrote it.

    Args:
        name, license: of it.
        terms: of each split, the values of terms that its utterances say of their own.
        audio_s: seconds of audio in all splits.
        digest: of all that the file says.
        said: all that it says, for the report.
    """

    name: str
    license: str
    terms: Mapping[str, Mapping[str, Sequence[str]]]
    audio_s: float
    digest: str
    said: Mapping[str, object]


def read_corpus(manifests: str | Path) -> CorpusSummary:
    """Read the corpus.json beside the manifests.

    Raises:
        ConfigError: the corpus is not prepared, or its summary is damaged.
    """
    path = Path(manifests, "corpus.json")
    hint = f"run python stages/prepare.py corpus={path.parent.name}"
    said = read_json(path, what="corpus summary", error=ConfigError, hint=hint)
    name, license_, hours = said.get("name"), said.get("license"), _hours(said.get("splits"))
    if not isinstance(name, str) or not isinstance(license_, str) or hours is None:
        raise ConfigError(
            f"corpus summary {path}",
            expected="a name, a license, and splits with the hours of each",
            got="others",
            hint=hint,
        )
    return CorpusSummary(
        name=name,
        license=license_,
        terms=_terms(said["splits"]),
        audio_s=3600 * hours,
        digest=digest(said),
        said=said,
    )


def _terms(splits: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """Return the values that the utterances of each split say, of the terms that any says."""
    return {
        split: {term: sorted(filter(None, said[term])) for term in TERMS if said.get(term)}
        for split, said in splits.items()
    }


def _hours(splits: object) -> float | None:
    """Return the hours of all splits; None if they are not told."""
    total = 0.0
    for split in splits.values() if isinstance(splits, dict) else (None,):
        hours = split.get("hours") if isinstance(split, dict) else None
        if not isinstance(hours, int | float) or not 0 <= hours < _MOST_HOURS:
            return None
        total += float(hours)
    return total
