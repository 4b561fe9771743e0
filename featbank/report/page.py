"""The report of a validation: one HTML file for people, and the numbers and curves for DVC."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log2, prod
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from featbank.manifest import SPLITS
from featbank.provenance import readable_json, write_atomic
from featbank.report.figures import (
    draw_features,
    draw_lengths,
    draw_sequence,
    draw_units,
    draw_usage,
)
from featbank.report.metrics import entropy_bits, length_rows, metrics, total_usage, usage_rows
from featbank.validation.result import CheckResult, Example, StoreCheck

_ORIGIN_FIELDS = ("fingerprint", "framing", "numerics", "provenance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing with its words.

    Args:
        title: what is drawn.
        drawing: an SVG element.
        caption: what to see in it, with units.
    """

    title: str
    drawing: Markup
    caption: str


def render_report(results: Sequence[CheckResult], corpus: Mapping[str, Any]) -> str:
    """Render the report as one HTML file that needs nothing else; equal inputs give equal bytes.

    Args:
        results: one an option, in the order to show them in.
        corpus: what the manifests' `corpus.json` holds: name, license, num_failures, and for each
            split its utterances, hours and speakers.
    """
    environment = Environment(
        loader=PackageLoader("featbank.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": _count,
        "size": format_size,
        "number": format_number,
        "duration": format_duration,
    }
    problems = [problem for result in results for problem in result.all_problems]
    kinds: Counter[str] = Counter()
    for problem in problems:
        kinds[problem.kind] += problem.count
    return environment.get_template("report.html.j2").render(
        corpus=corpus,
        results=results,
        groups=[
            (f"{result.name}/{name}", list(stores))
            for result in results
            for name, stores in groupby(result.stores, key=lambda store: store.name)
        ],
        num_stores=sum(len(result.stores) for result in results),
        splits={split: corpus["splits"][split] for split in SPLITS},
        problems=problems,
        kinds=kinds,
        num_problems=kinds.total(),
        random_stores=[
            f"{result.name}/{store.name}/{store.split}"
            for result in results
            for store in result.stores
            if weights_source(store) == "random"
        ],
        failures=list(_failures(results, corpus)),
        empty_stores=[
            f"{result.name}/{store.name}/{store.split}"
            for result in results
            for store in result.stores
            if store.num_expected and not store.num_utterances
        ],
        weights_source=weights_source,
        lengths=_lengths_picture(results),
        pictures={result.name: list(_pictures(result)) for result in results},
        origins={result.name: list(_origins(result)) for result in results},
    )


def write_report(
    results: Sequence[CheckResult], corpus: Mapping[str, Any], folder: str | Path
) -> Path:
    """Write `report.html`, `metrics.json` and the data of DVC's plots; return the report's path.

    Args:
        results: see `render_report`.
        corpus: see `render_report`.
        folder: of the report.
    """
    folder = Path(folder)
    lengths = length_rows(results[0].lengths) if results else []
    write_atomic(folder / "metrics.json", readable_json(metrics(results)))
    write_atomic(folder / "codebook_usage.json", readable_json(usage_rows(results)))
    write_atomic(folder / "utterance_lengths.json", readable_json(lengths))
    write_atomic(folder / "report.html", render_report(results, corpus))
    return folder / "report.html"


def weights_source(store: StoreCheck) -> str:
    """Return where the weights behind a store came from; those of its features, for tokens."""
    return str(_part(_feature_provenance(store), "weights").get("source", ""))


def format_size(num_bytes: int) -> str:
    """Return a size in the unit that suits it.

    >>> format_size(999), format_size(1_500_000), format_size(18 * 10**12)
    ('999 B', '1.5 MB', '18.0 TB')
    """
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def format_duration(seconds: float) -> str:
    """Return a length of time in the unit that suits it.

    >>> [format_duration(seconds) for seconds in (0, 26.4, 145, 11_310, 180e6)]
    ['0 s', '26.4 s', '2.4 min', '3.14 h', '50,000 h']
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    hours = seconds / 3600
    return f"{hours:.2f} h" if hours < 100 else f"{hours:,.0f} h"


def format_number(value: float | None) -> str:
    """Return a measured value in four digits, or a dash where there is none.

    >>> format_number(-3.14159), format_number(1234567.0), format_number(None)
    ('-3.142', '1,235,000', '-')
    """
    if value is None:
        return "-"
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"


def _failures(results: Sequence[CheckResult], corpus: Mapping[str, Any]) -> Iterator[str]:
    """Say where utterances failed, and how many."""
    if corpus["num_failures"]:
        yield f"{corpus['num_failures']:,} while the manifests were made"
    for result in results:
        for store in result.stores:
            if store.num_failures:
                yield f"{store.num_failures:,} in {result.name}/{store.name}/{store.split}"


def _lengths_picture(results: Sequence[CheckResult]) -> Picture | None:
    """Draw the lengths of the manifests' utterances, which all results share."""
    if not results or not any(sum(counts) for _, counts in results[0].lengths.by_split):
        return None
    lengths = results[0].lengths
    return Picture(
        title="How long the utterances are",
        drawing=Markup(draw_lengths(lengths)),  # noqa: S704 - drawn here, from numbers alone
        caption=f"Utterances of the manifests by length, in bins of {lengths.bin_s:g} s.",
    )


def _pictures(result: CheckResult) -> Iterator[Picture]:
    usage = total_usage(result)
    if sum(usage):
        entropy, dead = entropy_bits(usage), usage.count(0)
        yield Picture(
            title="How the codebook is used",
            drawing=Markup(draw_usage(usage)),  # noqa: S704
            caption=(
                f"Share of each of the {len(usage)} units among {sum(usage):,} in all splits, the "
                f"most used first. Perplexity {2**entropy:.1f} of {len(usage)} "
                f"(entropy {entropy:.2f} of {log2(len(usage)):.2f} bits); "
                f"{_count(dead, 'unit')} never used."
            ),
        )
    for store in result.stores:
        if store.example is not None and store.header is not None:
            yield _example_picture(store, store.example, store.header)


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}s" if number else f"no {noun}s"


def _example_picture(store: StoreCheck, example: Example, header: Mapping[str, Any]) -> Picture:
    rate, shape = header["frame_rate"], header["shape"]
    grid = {"frame_rate": rate, "first_frame_center_s": header["first_frame_center_s"]}
    told = f"Utterance {example.id}: {_count(example.num_frames, 'frame' if rate else 'unit')}"
    if shape:
        drawing = draw_features(example, **grid)
        told += f" of {_count(prod(shape), 'dimension')}"
        if example.frames_per_column > 1:
            told += f", a column the mean of {example.frames_per_column} frames"
        if example.values_per_cell > 1:
            told += f", a row the mean of {example.values_per_cell} dimensions"
        told += "; each dimension is drawn scaled to mean 0 and standard deviation 1"
    else:
        if store.usage is not None:
            drawing = draw_units(example, **grid)
            told += ", a colour a unit"
        else:
            drawing = draw_sequence(example, **grid, label="duration (frames)")
        if example.frames_per_column > 1:
            told += f", one in {example.frames_per_column} drawn"
    if rate:
        told += f"; {rate:g} frames a second"
    return Picture(
        title=f"{store.name}, {store.split}",
        drawing=Markup(drawing),  # noqa: S704
        caption=f"{told}.",
    )


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
