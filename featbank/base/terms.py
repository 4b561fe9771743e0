"""The terms of utterances: the licence each stands under, and what its speaker consented to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from featbank.errors import FeatbankError, ManifestError

TERMS = ("license", "consent")
"""What a corpus may say of an utterance's terms: fields of an `Utterance`, in this order."""

NOT_SAID = "not said"
"""What people are shown of an utterance whose corpus says nothing."""

MAX_VALUES = 1000
"""Different values of a term: kinds of use, not a number of a form for each speaker."""


def hours_of(samples: Iterable[tuple[int, int]]) -> float:
    """Return the hours of numbers of samples, each behind its rate in Hz.

    >>> hours_of([(16000, 57_600_000), (8000, 14_400_000)])
    1.5
    """
    return round(math.fsum(number / rate for rate, number in samples) / 3600, 6)


def check_number(
    values: Mapping[str, object], term: str, error: type[FeatbankError] = ManifestError
) -> None:
    """Refuse another value of a term where there are as many as can be listed.

    Raises:
        FeatbankError: as `error`, when there are.
    """
    if len(values) >= MAX_VALUES:
        raise error(
            f"{term} of utterances",
            expected=f"{MAX_VALUES:,} different values at most",
            got=f"more, such as {next(iter(values))!r}",
            hint="name kinds of use, such as research, and no number of a form",
        )


class TermCounts:
    """Counts utterances by what they say of their terms, as they go by."""

    def __init__(self) -> None:
        # utterances and samples, by the rate that they are played at and what is said of all terms
        self._counted: dict[tuple[int, tuple[str, ...]], list[int]] = {}
        self._values: dict[str, dict[str, None]] = {term: {} for term in TERMS}

    def add(self, said: Sequence[str], *, played_rate: int, num_samples: int) -> None:
        """Count an utterance.

        Args:
            said: of its terms, in their order; empty where the corpus says nothing.
            played_rate: of its samples, in Hz.
            num_samples: of it.

        Raises:
            ManifestError: there are too many different values.
        """
        key = (played_rate, tuple(said))
        amounts = self._counted.get(key)
        if amounts is None:
            self._meet(said)
            amounts = self._counted[key] = [0, 0]
        amounts[0] += 1
        amounts[1] += num_samples

    def _meet(self, said: Sequence[str]) -> None:
        for term, value in zip(TERMS, said, strict=True):
            values = self._values[term]
            if value not in values:
                check_number(values, term)
                values[value] = None

    def told(self, *, every: bool = False) -> dict[str, dict[str, dict[str, Any]]]:
        """Return utterances and hours of each value, sorted, of the terms that any utterance says.

        Args:
            every: of the terms that none says, too: all are under an empty value.

        >>> counts = TermCounts()
        >>> counts.add(["CC0-1.0", ""], played_rate=16000, num_samples=57_600_000)
        >>> counts.told()
        {'license': {'CC0-1.0': {'utterances': 1, 'hours': 1.0}}}
        """
        return {
            term: {value: self._amounts(place, value) for value in sorted(self._values[term])}
            for place, term in enumerate(TERMS)
            if every or any(self._values[term])
        }

    def _amounts(self, place: int, value: str) -> dict[str, Any]:
        found = [
            (rate, amounts)
            for (rate, said), amounts in self._counted.items()
            if said[place] == value
        ]
        return {
            "utterances": sum(number for _, (number, _) in found),
            "hours": hours_of((rate, samples) for rate, (_, samples) in found),
        }
