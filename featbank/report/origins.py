"""What stores were made from, as their headers say: weights, licences, versions, and all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from featbank.validation.result import CheckResult, StoreCheck

_FIELDS = ("fingerprint", "framing", "numerics", "provenance")


def weights_source(store: StoreCheck) -> str:
    """Return the source of the weights behind a store; of its features, for tokens."""
    return str(_part(_feature_provenance(store), "weights").get("source", ""))


def has_random_weights(store: StoreCheck) -> bool:
    """Tell whether weights behind a store are random: of several extractors, those of any."""
    return "random" in weights_source(store).split(", ")


def origins_of(result: CheckResult) -> Iterator[tuple[str, list[tuple[str, str]], str]]:
    """Give, for each distinct header of a result, its title, its main facts and all of it."""
    seen: dict[str, list[StoreCheck]] = {}
    for store in result.stores:
        if store.header is not None:
            told = {key: store.header[key] for key in _FIELDS}
            text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False)
            seen.setdefault(f"{store.name}\n{text}", []).append(store)
    for key, stores in seen.items():
        name, _, text = key.partition("\n")
        splits = ", ".join(store.split for store in stores)
        yield f"{name} ({splits})", list(_facts(stores[0])), text


def _facts(store: StoreCheck) -> Iterator[tuple[str, str]]:
    header = store.header or {}
    source = _feature_provenance(store)
    weights, corpus = _part(source, "weights"), _part(source, "corpus")
    yield "fingerprint", header["fingerprint"]
    if "license" in corpus:
        yield "corpus", f"{corpus.get('name', '')}, {corpus['license']}"
    if weights.get("source", "none") != "none":
        yield "weights", weights["source"]
        yield "weights digest", weights.get("digest", "")
        yield "weights licence", weights.get("license") or "not stated"
    if versions := _part(_part(header, "provenance"), "versions"):
        yield "versions", ", ".join(f"{name} {versions[name]}" for name in sorted(versions))


def _feature_provenance(store: StoreCheck) -> Mapping[str, Any]:
    """Return what a store's features were made from; for tokens, those behind them."""
    provenance = _part(store.header or {}, "provenance")
    return _part(provenance, "feature") or provenance


def _part(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object in provenance; provenance is free, so it may be missing or another thing."""
    found = fields.get(name)
    return found if isinstance(found, Mapping) else {}
