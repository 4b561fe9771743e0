"""Check that a store was made from its present definition; else nothing can be certified."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featbank.engine.definition import build_definition
from featbank.engine.run import Run
from featbank.errors import ValidationError
from featbank.features.weights.sources import RANDOM
from featbank.store import HEADER_NAME, Store, open_store
from featbank.tokenizers.token_stores import TokenStores

Changes = tuple[list[str], list[str]]
"""What differs: as it is now, and as it was before."""


class DefinitionCheck:
    """Holds the stores of a choice against what its definition would make.

    Args:
        run: that would make them.
        stores: folder of the choice that is certified, `<store name>/<split>`.

    Raises:
        ValidationError: the definition names weights, which are random in one and not in the other:
            known before they are loaded, which may take a download.

    Attributes:
        fingerprints: of the stores, by feature name.
        outputs: what a frame is, by feature name.
    """

    def __init__(self, run: Run, stores: Path) -> None:
        weights = run.definition.extractor.arguments.get("weights")
        for folder in sorted(header.parent for header in stores.glob(f"*/*/{HEADER_NAME}")):
            store = open_store(folder)
            provenance = store.provenance
            source = provenance.get("feature", provenance).get("weights", {}).get("source")
            if weights is not None and RANDOM in (source, weights) and source != weights:
                raise _changed(store, "features", ([f"weights {weights}"], [f"weights {source}"]))
        made = build_definition(run.definition, run.corpus.audio_root)  # nothing is computed
        self._described = made.described
        self._dtypes = {name: entry.dtype for name, entry in made.entries.items()}
        self.fingerprints = made.fingerprints
        self.outputs = made.extractor.outputs

    def require(self, store: Store) -> None:
        """Refuse a store of features that was made from another definition.

        Raises:
            ValidationError: it was.
        """
        if store.fingerprint != self.fingerprints[store.name]:
            changes = _changes(
                {**_values(store.provenance), "dtype": store.header.dtype},
                {
                    **_values(self._described[store.name].to_json()),
                    "dtype": self._dtypes[store.name],
                },
            )
            raise _changed(store, "features", changes)

    def require_tokens(self, store: Store, feature: str, tokens: TokenStores) -> None:
        """Refuse a store of tokens that was made from another definition.

        Raises:
            ValidationError: it was.
        """
        provenance = store.provenance
        if provenance.get("feature_fingerprint") != self.fingerprints[feature]:
            described = self._described[feature].to_json()
            changes = _changes(_values(provenance.get("feature", {})), _values(described))
            raise _changed(store, "features", changes)
        if store.fingerprint != tokens.fingerprints[store.name]:
            others = ("merge_repeats", "tokenize_version")
            changes = _changes(
                {
                    "codebook": provenance.get("codebook", {}).get("sha256", "")[:12],
                    **{key: provenance[key] for key in others if key in provenance},
                },
                {
                    "codebook": tokens.codebook.digest[:12],
                    **{key: tokens.made_from[key] for key in others},
                },
            )
            raise _changed(store, "tokens", changes)


def _values(described: Mapping[str, Any]) -> dict[str, object]:
    """Return what decides the values of features, by a word for each."""
    identity = described.get("extractor", {})
    return {
        **identity.get("arguments", {}),
        "extractor": identity.get("name"),
        "version": identity.get("version"),
        "decode_version": described.get("decode_version"),
        "weights": described.get("weights", {}).get("digest", "")[:12],
    }


def _changes(before: Mapping[str, object], now: Mapping[str, object]) -> Changes:
    """Say which values differ, as they are now and as they were before.

    >>> _changes({"seed": 0, "layer": 6}, {"layer": 9})
    (['layer 9', 'no seed'], ['layer 6', 'seed 0'])
    """
    keys = [
        key
        for key in sorted(before.keys() | now.keys())
        if (key in before, before.get(key)) != (key in now, now.get(key))
    ]
    told, was = (
        [f"{key} {values[key]}" if key in values else f"no {key}" for key in keys]
        for values in (now, before)
    )
    return told, was


def _changed(store: Store, what: str, changes: Changes) -> ValidationError:
    now, before = (", ".join(some) for some in changes)
    return ValidationError(
        f"the definition of the {what} of store {store.path} has changed since it was made, and "
        "nothing can be certified",
        expected=now or "the same fingerprint",
        got=before or "another",
        hint="make the store again, or bring its definition back",
    )
