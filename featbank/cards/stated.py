"""What the provenance of stores states of licences, at whatever depth it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def stated_terms(provenance: Mapping[str, Any], term: str = "license") -> tuple[str, ...]:
    """Return the values of a term, of corpora, of their rows and of weights, each once.

    >>> said = {"corpus": {"license": "a", "terms": {"license": ["b"], "consent": ["all"]}}}
    >>> stated_terms(said), stated_terms(said, "consent")
    (('a', 'b'), ('all',))
    """
    return tuple(dict.fromkeys(_texts_under(provenance, term)))


def stated_corpora(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the licence of each corpus that is named, by the corpus's name.

    >>> stated_corpora({"feature": {"corpus": {"name": "demo", "license": "CC0-1.0"}}})
    {'demo': 'CC0-1.0'}
    """
    found = (one for one in _under(provenance, "corpus") if isinstance(one, Mapping))
    return {str(one.get("name", "")): str(one.get("license", "")) for one in found}


def _texts_under(value: Any, key: str) -> Iterator[str]:
    for found in _under(value, key):
        every = found if isinstance(found, list) else [found]
        yield from (one for one in every if isinstance(one, str) and one)


def _under(value: Any, key: str) -> Iterator[Any]:
    """Give all that stands under a key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from _under(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _under(inner, key)
