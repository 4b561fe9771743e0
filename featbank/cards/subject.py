"""What a card is about: the splits of a corpus or of stores, and what their rows say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from featbank.base.manifest import Utterance
from featbank.base.terms import TERMS, TermCounts, hours_of
from featbank.cards.stated import stated_corpora, stated_terms
from featbank.store import StoreHeader, find_encoding

Amounts = Mapping[str, Mapping[str, Any]]
"""Utterances and hours by what the corpus says, such as by licence."""


class RowFacts:
    """What the rows of a split say together; memory holds the names of speakers, and no row.

    Args:
        rows: of a manifest.
    """

    def __init__(self, rows: Iterable[Utterance]) -> None:
        self.num_rows = self.num_texts = 0
        self.speakers: set[str] = set()
        self.languages = Counter[str]()
        self.terms = TermCounts()
        self._samples = Counter[int]()  # by the rate that they are played at
        self._has_speeds = False
        for row in rows:
            self._add(row)

    def _add(self, row: Utterance) -> None:
        self.num_rows += 1
        self.num_texts += bool(row.text)
        if row.speaker:
            self.speakers.add(row.speaker)
        self.languages[row.language] += 1
        self.terms.add(
            [getattr(row, term) for term in TERMS],
            played_rate=row.played_rate,
            num_samples=row.num_samples,
        )
        self._samples[row.played_rate] += row.num_samples
        self._has_speeds |= row.speed != 1

    @property
    def hours(self) -> float:
        """Of audio, as it is played."""
        return hours_of(self._samples.items())

    @property
    def optional_fields(self) -> frozenset[str]:
        """Fields that stand in some lines of the manifest alone."""
        return frozenset([*self.terms.told(), *(["speed"] if self._has_speeds else [])])


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSplit:
    """A split.

    Args:
        name: of it.
        num_utterances: in it.
        rows: what its manifest says of them; None where none was given.
    """

    name: str
    num_utterances: int
    rows: RowFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFeature:
    """A feature.

    Args:
        name: of it, as a column has it.
        header: of its stores, joined.
        provenance: of one of them; the others have the same fingerprint.
    """

    name: str
    header: StoreHeader
    provenance: Mapping[str, Any]

    @property
    def dtype(self) -> str:
        """Of its values as they are read."""
        return str(find_encoding(self.header.dtype).read.name)

    @property
    def shape(self) -> str:
        """Of an utterance as it is read, with T for its frames: `T, 80`."""
        return ", ".join("T" if size is None else str(size) for size in self.header.axes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSubject:
    """A corpus or stores of one, as a card tells of them.

    Args:
        name: of it.
        splits: of it, in order.
        features: of stores; none of a corpus.
        corpus_license: as the publisher of the corpus states it; of rows that do not say theirs.
        url: where the corpus comes from; empty where nobody says.
        num_failures: utterances that failed, and are in no split.
        left_out: how many rows did not have the terms that were required, as corpus.json says.
    """

    name: str
    splits: tuple[CardSplit, ...]
    features: tuple[CardFeature, ...] = ()
    corpus_license: str = ""
    url: str = ""
    num_failures: int = 0
    left_out: Mapping[str, Any] | None = None

    @property
    def num_utterances(self) -> int:
        """Of all splits."""
        return sum(split.num_utterances for split in self.splits)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the utterances, those of most of them first."""
        found = sum((rows.languages for rows in self._rows), Counter[str]())
        return tuple(
            name for name, _ in sorted(found.items(), key=lambda one: (-one[1], one[0])) if name
        )

    @property
    def terms(self) -> dict[str, Amounts]:
        """Utterances and hours by what is said of each term, of terms that any utterance says.

        An utterance that does not say its licence has that of the corpus.
        """
        found: dict[str, dict[str, dict[str, Any]]] = {}
        said = [rows.terms.told(every=True) for rows in self._rows]
        for term in TERMS:
            if not any(value for of_split in said for value in of_split[term]):
                continue
            for of_split in said:
                for value, amounts in of_split[term].items():
                    value = value or (self.corpus_license if term == "license" else "")
                    both = found.setdefault(term, {}).setdefault(value, {})
                    for name, number in amounts.items():
                        both[name] = round(both.get(name, 0) + number, 6)
        return {term: dict(sorted(values.items())) for term, values in found.items()}

    @property
    def licenses(self) -> tuple[str, ...]:
        """Every licence that something of it is under: of utterances, and of weights."""
        of_rows = self.terms.get("license")
        own = [self.corpus_license] if of_rows is None else [*of_rows]
        gone = set() if of_rows is None else {self.corpus_license} - of_rows.keys()
        return tuple(
            one
            for one in dict.fromkeys([*own, *self._stated("license")])
            if one and one not in gone
        )

    @property
    def consents(self) -> tuple[str, ...]:
        """What any speaker is said to have consented to: by the rows, else by the stores."""
        return tuple(filter(None, self.terms.get("consent") or self._stated("consent")))

    def _stated(self, term: str) -> list[str]:
        headers = (feature.header for feature in self.features)
        return [one for header in headers for one in stated_terms(header.provenance, term)]

    @property
    def _rows(self) -> list[RowFacts]:
        return [split.rows for split in self.splits if split.rows is not None]


def license_of_corpora(features: Iterable[CardFeature]) -> str:
    """Return the licence of the corpus that features were made of; of several, all."""
    corpora = [stated_corpora(feature.header.provenance) for feature in features]
    return "; ".join(dict.fromkeys(filter(None, (one for of in corpora for one in of.values()))))
