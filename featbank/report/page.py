"""The report of a validation: one HTML file for people, and the numbers and curves for DVC."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from featbank.base.split_names import in_order
from featbank.files.provenance import readable_json, write_atomic
from featbank.report.corpus import check_corpus, corpus_facts, corpus_warnings
from featbank.report.measured import told_qualities
from featbank.report.metrics import length_curves, metrics, usage_curves
from featbank.report.pictures import lengths_picture, pictures_of
from featbank.report.rendering import environment
from featbank.report.side_by_side import COMPARED, best_of, in_tables, side_by_side
from featbank.report.tables import (
    codebook_tables,
    gauge_tables,
    label_codebook_tables,
    label_tables,
    stability_tables,
)
from featbank.stability.result import Stability
from featbank.validation.result import CheckResult, StoreCheck

_ORIGIN_FIELDS = ("fingerprint", "framing", "numerics", "provenance")


def render_report(
    results: Sequence[CheckResult],
    corpus: Mapping[str, Any],
    stabilities: Mapping[str, Stability] | None = None,
) -> str:
    """Render the report as one HTML file that needs nothing else; equal inputs give equal bytes.

    Args:
        results: one an option, in the order to show them in.
        corpus: what the manifests' `corpus.json` holds: name, license, num_failures, for each split
            its utterances, hours and speakers, and what `corpus_facts` and `corpus_warnings` tell.
        stabilities: what disturbed audio does to the tokens of the options, by their names.
    """
    problems = [problem for result in results for problem in result.all_problems]
    kinds: Counter[str] = Counter()
    for problem in problems:
        kinds[problem.kind] += problem.count
    compared = side_by_side(results, stabilities or {})
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            corpus=corpus,
            compared=list(in_tables(compared)),
            best=best_of(compared),
            measured=list(told_qualities(results)),
            results=results,
            groups=[
                (f"{result.name}/{name}", list(stores))
                for result in results
                for name, stores in groupby(result.stores, key=lambda store: store.name)
            ],
            num_stores=sum(len(result.stores) for result in results),
            splits={split: corpus["splits"][split] for split in in_order(corpus["splits"])},
            problems=problems,
            kinds=kinds,
            num_problems=kinds.total(),
            random_stores=[
                f"{result.name}/{store.name}/{store.split}"
                for result in results
                for store in result.stores
                if has_random_weights(store)
            ],
            failures=list(_failures(results, corpus)),
            corpus_facts=list(corpus_facts(corpus)),
            corpus_warnings=list(corpus_warnings(corpus)),
            empty_stores=[
                f"{result.name}/{store.name}/{store.split}"
                for result in results
                for store in result.stores
                if store.num_expected and not store.num_utterances
            ],
            weights_source=weights_source,
            has_random_weights=has_random_weights,
            lengths=lengths_picture(results),
            gauge_tables=list(gauge_tables(results)),
            codebook_tables=list(codebook_tables(results)),
            inertias=[(result.name, result.inertia) for result in results if result.inertia],
            stability_tables=list(stability_tables(results, stabilities or {})),
            label_tables=list(label_tables(results)),
            label_codebook_tables=list(label_codebook_tables(results)),
            pictures={result.name: list(pictures_of(result)) for result in results},
            origins={result.name: list(_origins(result)) for result in results},
        )
    )


def write_report(
    results: Sequence[CheckResult],
    corpus: Mapping[str, Any],
    folder: str | Path,
    stabilities: Mapping[str, Stability] | None = None,
) -> Path:
    """Write `report.html`, `metrics.json` and the data of DVC's plots; return the report's path.

    Args:
        results: see `render_report`.
        corpus: see `render_report`.
        folder: of the report.
        stabilities: see `render_report`.

    Raises:
        ConfigError: the corpus is described in another way; nothing is written then.
    """
    check_corpus(corpus)
    folder = Path(folder)
    numbers = {**metrics(results, stabilities), COMPARED: side_by_side(results, stabilities or {})}
    write_atomic(folder / "metrics.json", readable_json(numbers))
    _write_curves(folder / "codebook_usage", usage_curves(results))
    lengths = length_curves(results[0].lengths) if results else {}
    _write_curves(folder / "utterance_lengths", lengths)
    write_atomic(folder / "report.html", render_report(results, corpus, stabilities))
    return folder / "report.html"


def _write_curves(folder: Path, curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the data of DVC's plots, a file a curve, and remove those that there are no longer."""
    for name, rows in curves.items():
        write_atomic(folder / f"{name}.json", readable_json(rows))
    for path in folder.glob("*.json"):
        if path.stem not in curves:
            path.unlink()


def weights_source(store: StoreCheck) -> str:
    """Return the source of the weights behind a store; of its features, for tokens."""
    return str(_part(_feature_provenance(store), "weights").get("source", ""))


def has_random_weights(store: StoreCheck) -> bool:
    """Tell whether weights behind a store are random: of several extractors, those of any."""
    return "random" in weights_source(store).split(", ")


def _failures(results: Sequence[CheckResult], corpus: Mapping[str, Any]) -> Iterator[str]:
    """Say where utterances failed, and how many."""
    if corpus["num_failures"]:
        yield f"{corpus['num_failures']:,} while the manifests were made"
    for result in results:
        for store in result.stores:
            if store.num_failures:
                yield f"{store.num_failures:,} in {result.name}/{store.name}/{store.split}"


def _origins(result: CheckResult) -> Iterator[tuple[str, list[tuple[str, str]], str]]:
    """Give, for each distinct header of a result, its title, its main facts and all of it."""
    seen: dict[str, list[StoreCheck]] = {}
    for store in result.stores:
        if store.header is not None:
            told = {key: store.header[key] for key in _ORIGIN_FIELDS}
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
