"""Findings of one walk over a recipe: digests of its parts, and what cannot be digested."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from featbank.errors import ConfigError
from featbank.files.provenance import digest
from featbank.recipes.fingerprinting.installed import STANDARD_LIBRARY, distribution

NAMED = "named"  # stands where something is named in `fingerprint_with`


class Walk:
    """Collects the parts, packages and refusals of one walk over a recipe.

    Args:
        named: what `fingerprint_with` stands for, by name.
    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        self.named = named
        self.parts: dict[str, str] = {f"named {name}": _digest(named[name]) for name in named}
        self.written: set[str] = set()
        self._books: dict[str, str] = {}
        self._packages: set[str] = set()
        self._refused: dict[str, str] = {}

    def stands_for(self, what: str) -> bool:
        """Return whether something is named in `fingerprint_with`."""
        return what in self.named or what.removeprefix("source of ") in self.named

    def refuse(self, what: str, why: str) -> str:
        """Remember what has no digest, unless it is named; return what stands in its place."""
        if not self.stands_for(what):
            self._refused.setdefault(what, why)
        return NAMED

    def put(self, what: str, place: str, value: Any, encoded: str) -> None:
        """Add a part: a value that the recipe finds at a place, in the text of its code.

        Counters and lists of ids that the recipe writes itself are no part, wherever it looks at
        them: they say how often it ran. Tensors and floats are one, whoever writes them.
        """
        self.parts[what] = encoded
        if _is_bookkeeping(value):
            self._books[what] = place

    def count_package(self, package: str) -> None:
        """Count an installed package by its version; the standard library does not count.

        Python's own version is no part, so that a store outlasts a new Python as it should.
        """
        if package != STANDARD_LIBRARY:
            self._packages.add(package)

    def finish(self) -> dict[str, str]:
        """Return the digest of every part.

        Raises:
            ConfigError: something has none, and is not named.
        """
        # what a value is stays here: a header holds no path, and nobody's secrets
        books = {what for what, place in self._books.items() if place in self.written}
        parts = {
            what: digest(found)[:32] for what, found in self.parts.items() if what not in books
        }
        for package in self._packages:
            name, version = distribution(package)
            parts[f"package {name}"] = version
        if self._refused:
            what = "; ".join(f"{name} ({why})" for name, why in sorted(self._refused.items()))
            entries = ", ".join(
                f'{json.dumps(name, ensure_ascii=False)}: "1"' for name in sorted(self._refused)
            )
            raise ConfigError(
                "the fingerprint of these features",
                expected="values and code that a digest can be taken of",
                got=what,
                hint=f"say what they are with fingerprint_with={{{entries}}}, "
                "and change the text whenever they change",
            )
        return dict(sorted(parts.items()))


def _is_bookkeeping(value: Any) -> bool:
    """Return whether a value is a number of things, or a plain container of numbers and names."""
    if isinstance(value, dict):
        inner = [*value, *value.values()]
    else:
        inner = [*value] if isinstance(value, list | set | tuple) else [value]
    return all(one is None or isinstance(one, int | str) for one in inner)


def _digest(value: Any) -> str:
    try:
        return digest(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "fingerprint_with", expected="a text, or a JSON value", got=f"{value!r} ({error})"
        ) from error
