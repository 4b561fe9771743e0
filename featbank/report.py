"""The report of a validation: one HTML file for people, and the numbers and curves for DVC."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log2, prod
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from featbank.check import CheckResult, Example, StoreCheck
from featbank.figures import draw_features, draw_lengths, draw_units, draw_usage
from featbank.metrics import entropy_bits, total_usage

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
        loader=PackageLoader("featbank"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": format_size, "number": format_number, "hours": format_hours}
    problems = [problem for result in results for problem in result.all_problems]
    return environment.get_template("report.html.j2").render(
        corpus=corpus,
        results=results,
        stores=[(result, store) for result in results for store in result.stores],
        problems=problems,
        num_problems=sum(problem.count for problem in problems),
        random_stores=[
            f"{result.name}/{store.name}/{store.split}"
            for result in results
            for store in result.stores
            if weights_source(store) == "random"
        ],
        failures=list(_failures(results, corpus)),
        weights_source=weights_source,
        lengths=_lengths_picture(results),
        pictures={result.name: list(_pictures(result)) for result in results},
        origins={result.name: list(_origins(result)) for result in results},
    )


def weights_source(store: StoreCheck) -> str:
    """Return where the weights behind a store came from; those of its features, for tokens."""
    provenance = (store.header or {}).get("provenance", {})
    weights = provenance.get("feature", provenance).get("weights", {})
    return str(weights.get("source", "")) if isinstance(weights, Mapping) else ""


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


def format_hours(hours: float) -> str:
    """Return hours so that a short corpus does not read as nothing.

    >>> format_hours(0.0402), format_hours(3.14159), format_hours(50000.0), format_hours(0)
    ('0.0402', '3.14', '50,000', '0')
    """
    if hours >= 100:
        return f"{hours:,.0f}"
    return f"{hours:.2f}" if hours >= 1 else f"{hours:.3g}"


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
    if not results or not any(sum(counts) for counts in results[0].lengths.counts.values()):
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
                f"{dead or 'no'} {'unit is' if dead == 1 else 'units are'} never used."
            ),
        )
    for store in result.stores:
        if store.example is not None and store.header is not None:
            yield _example_picture(store, store.example, store.header)


def _example_picture(store: StoreCheck, example: Example, header: Mapping[str, Any]) -> Picture:
    rate = header["frame_rate"]
    told = f"Utterance {example.id} of {store.split}: {example.num_frames:,} frames"
    if not header["shape"]:
        drawing = draw_units(example, frame_rate=rate)
        shown = len(example.columns)
        told += f", the first {shown}" if shown < example.num_frames else ""
    else:
        drawing = draw_features(
            example, frame_rate=rate, first_frame_center_s=header["first_frame_center_s"]
        )
        told += f" of {prod(header['shape'])} dimensions"
        if example.frames_per_column > 1 or example.values_per_cell > 1:
            told += (
                f", averaged over {example.frames_per_column} frames "
                f"and {example.values_per_cell} dimensions"
            )
    if rate:
        told += f", at {rate:g} frames a second"
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
    provenance = header["provenance"]
    source = provenance.get("feature", provenance)
    weights, corpus = source.get("weights") or {}, source.get("corpus") or {}
    yield "fingerprint", header["fingerprint"]
    if "license" in corpus:
        yield "corpus", f"{corpus.get('name', '')}, {corpus['license']}"
    if weights.get("source", "none") != "none":
        yield "weights", weights["source"]
        yield "weights digest", weights.get("digest", "")
        yield "weights licence", weights.get("license") or "not stated"
    if versions := provenance.get("versions"):
        yield "versions", ", ".join(f"{name} {versions[name]}" for name in sorted(versions))
