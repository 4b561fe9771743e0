"""What terms a corpus's rows must have to be taken, and how many are left out for which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self

from featbank.base.failures import brief
from featbank.base.terms import NOT_SAID, TERMS, check_number
from featbank.errors import ConfigError, CorpusError

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Patterns that a row's terms must match: `{license: [CC0*, CC-BY-4.0], consent: research}`.

    A pattern is of shells (`*`, `?`, `[...]`), and the case of letters is no matter. A row that
    does not say its licence has that of its corpus; one that does not say its consent has none, and
    fits only the pattern `*`.

    Args:
        patterns: by term, those of which one must match.
        license: of the corpus.
    """

    patterns: Mapping[str, tuple[str, ...]]
    license: str

    @classmethod
    def of(
        cls,
        said: Mapping[str, str | Sequence[str]],
        license: str,  # noqa: A002 - the word of the configuration
    ) -> Self:
        """Read what a definition says.

        Raises:
            ConfigError: it names no term, or patterns that are no texts, or none.
        """
        patterns: dict[str, tuple[str, ...]] = {}
        unknown = [*(said.keys() - set(TERMS))] if isinstance(said, Mapping) else [said]
        if unknown:
            raise ConfigError(
                "corpus.require",
                expected=f"terms among {', '.join(TERMS)}: {{license: [CC0*, CC-BY-4.0]}}",
                got=repr(unknown[0]),
            )
        for term, some in said.items():
            where = f"corpus.require.{term}"
            is_list = isinstance(some, Sequence) and not isinstance(some, str)
            every: list[Any] = list(some) if is_list else [some]
            if wrong := [one for one in every if not isinstance(one, str) or not one]:
                raise ConfigError(
                    where,
                    expected="texts",
                    got=wrong[0],
                    hint="quote it, as YAML takes yes for true: ['yes']",
                )
            if not every:
                raise ConfigError(where, expected="a pattern or more", got="none")
            patterns[term] = tuple(every)
        return cls(patterns=patterns, license=license)

    def unmet(self, license: str, consent: str) -> tuple[str, str] | None:  # noqa: A002 - of a row
        """Return the first term that does not fit, and what is said of it; None where all do.

        >>> only = Requirement.of({"license": ["CC0*", "cc-by-*"], "consent": "yes"}, "CC-BY-4.0")
        >>> only.unmet("", "yes"), only.unmet("CC-BY-NC", ""), only.unmet("GPL", "yes")
        (None, ('consent', ''), ('license', 'GPL'))
        """
        said = {"license": license or self.license, "consent": consent}
        for term, patterns in self.patterns.items():
            value = said[term].casefold()
            if not any(fnmatchcase(value, pattern.casefold()) for pattern in patterns):
                return term, said[term]
        return None


class Requiring:
    """Holds the rows of a corpus against its requirement, and counts those that are left out.

    Args:
        requirement: of the corpus.
        corpus: its name.
    """

    def __init__(self, requirement: Requirement, corpus: str) -> None:
        self._requirement, self._corpus = requirement, corpus
        self._num_taken = 0
        self._left_out: dict[str, dict[str, int]] = {term: {} for term in requirement.patterns}

    def takes(self, license: str, consent: str) -> bool:  # noqa: A002 - of a row
        """Tell whether a row of these terms is taken; one that is not is counted.

        Raises:
            CorpusError: what is left out has too many different values to be listed.
        """
        if not self._left_out:
            return True  # as most corpora require nothing
        unmet = self._requirement.unmet(license, consent)
        if unmet is None:
            self._num_taken += 1
            return True
        term, value = unmet
        values = self._left_out[term]
        if value not in values:
            check_number(values, term, CorpusError)
        values[value] = values.get(value, 0) + 1
        return False

    def check_any(self) -> None:
        """Refuse a requirement that leaves every row out.

        Raises:
            CorpusError: it does.
        """
        told = self.summary().get("left_out")
        if told and told["rows"] and not self._num_taken:
            raise CorpusError(
                f"corpus.require of {self._corpus}",
                expected="rows that fit it",
                got=f"none: {told_left_out(told)}",
                hint="give patterns of what the corpus says, or corpus.require=null",
            )

    def summary(self) -> dict[str, Any]:
        """Return what is required, and how many rows are left out by which value, if anything is.

        A row is counted under the first term that does not fit.
        """
        if not self._requirement.patterns:
            return {}
        by_value = {term: dict(sorted(values.items())) for term, values in self._left_out.items()}
        return {
            "require": {term: list(some) for term, some in self._requirement.patterns.items()},
            "left_out": {
                "rows": sum(sum(values.values()) for values in by_value.values()),
                **by_value,
            },
        }


def told_left_out(left_out: Mapping[str, Any]) -> str:
    """Say how many rows are left out for what.

    >>> told_left_out({"rows": 5, "license": {"GPL": 2}, "consent": {"": 1, "no": 2}})
    "license 'GPL' (2), consent 'no' (2), consent not said (1)"
    """
    return ", ".join(_counted(left_out))


def _counted(left_out: Mapping[str, Any]) -> Iterator[str]:
    for term in TERMS:
        most = sorted(left_out.get(term, {}).items(), key=lambda one: (-one[1], one[0]))
        for value, number in most[:_NAMED]:
            yield f"{term} {brief(repr(value)) if value else NOT_SAID} ({number:,})"
        if len(most) > _NAMED:
            yield f"{len(most) - _NAMED} other values of {term}"
