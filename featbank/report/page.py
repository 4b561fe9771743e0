"""The report of a validation: one HTML file for people, and the numbers and curves for DVC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featbank.base.failure_kinds import FailuresOfKind
from featbank.base.split_names import in_order
from featbank.files.provenance import readable_json, write_atomic
from featbank.report.clips import Clips
from featbank.report.corpus import check_corpus, corpus_facts, corpus_warnings
from featbank.report.failures import failed_by_kind, failure_lists
from featbank.report.measured import told_qualities
from featbank.report.metrics import length_curves, metrics, usage_curves
from featbank.report.origins import has_random_weights, origins_of
from featbank.report.pictures import Pictures, lengths_picture, utterance_pictures
from featbank.report.pictures_of_choices import (
    confusion_pictures,
    example_pictures,
    usage_pictures,
)
from featbank.report.rendering import environment
from featbank.report.side_by_side import COMPARED, best_of, in_tables, side_by_side
from featbank.report.stamp import PageStamp
from featbank.report.store_rows import splits_of, store_rows
from featbank.report.tables import (
    codebook_tables,
    gauge_tables,
    label_codebook_tables,
    label_tables,
    stability_tables,
)
from featbank.report.unchecked import unchecked
from featbank.stability.result import Stability
from featbank.validation.result import CheckResult

_MAX_NAMED = 200
"""Sentences on problems that a page has in full; beyond, it has one of each kind and the number."""

_NO_CLIPS = Clips()


def render_report(
    results: Sequence[CheckResult],
    corpus: Mapping[str, Any],
    stabilities: Mapping[str, Stability] | None = None,
    *,
    clips: Clips = _NO_CLIPS,
    failed: Sequence[FailuresOfKind] = (),
    stamp: PageStamp | None = None,
) -> str:
    """Render the report as one HTML file that needs nothing else; equal inputs give equal bytes.

    It stays below 2 MB: what there is no room for is counted, and where it lies is said.

    Args:
        results: one an option, in the order to show them in.
        corpus: what the manifests' `corpus.json` holds: name, license, num_failures, for each split
            its utterances, hours and speakers, and what `corpus_facts` and `corpus_warnings` tell.
        stabilities: what disturbed audio does to the tokens of the options, by their names.
        clips: what was read of the audio, to be seen and heard.
        failed: while the manifests were made.
        stamp: of a page that is handed on; None for one that DVC keeps.
    """
    compared = side_by_side(results, stabilities or {})
    return _page(results, corpus, stabilities or {}, compared, clips, failed, stamp)


def _page(
    results: Sequence[CheckResult],
    corpus: Mapping[str, Any],
    stabilities: Mapping[str, Stability],
    compared: Mapping[str, Mapping[str, float]],
    clips: Clips,
    failed: Sequence[FailuresOfKind],
    stamp: PageStamp | None,
) -> str:
    problems = [problem for result in results for problem in result.all_problems]
    kinds: Counter[str] = Counter()
    for problem in problems:
        kinds[problem.kind] += problem.count
    disturbed = list(stability_tables(results, stabilities))
    rows = list(store_rows(results))
    checked = [(f"{row.name}/{store.split}", store) for row in rows for store in row.stores]
    lists = list(failure_lists(results, corpus["name"], corpus["num_failures"], failed))
    pictures = Pictures()
    # in the order in which a page gives them room
    lengths = pictures.within(lengths_picture(results))
    utterances = pictures.within(utterance_pictures(results, clips))
    drawn = [
        *pictures.within(usage_pictures(results)),
        *pictures.within(example_pictures(results)),
        *pictures.within(confusion_pictures(results)),
    ]
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            corpus=corpus,
            compared=list(in_tables(compared)),
            best=best_of(compared),
            measured=list(told_qualities(results)),
            rows=rows,
            split_names=splits_of(rows),
            num_stores=len(checked),
            splits={split: corpus["splits"][split] for split in in_order(corpus["splits"])},
            problems=problems,
            num_named=_MAX_NAMED,
            kinds=kinds,
            num_problems=kinds.total(),
            random_stores=[name for name, store in checked if has_random_weights(store)],
            failure_lists=lists,
            failed_by_kind=failed_by_kind(lists),
            corpus_facts=list(corpus_facts(corpus)),
            corpus_warnings=list(corpus_warnings(corpus)),
            empty_stores=[
                name for name, one in checked if one.num_expected and not one.num_utterances
            ],
            lengths=lengths,
            utterances=utterances,
            drawn={
                one.name: [picture for picture in drawn if picture.choice == one.name]
                for one in results
            },
            num_left_out=pictures.num_left_out,
            gauge_tables=list(gauge_tables(results)),
            codebook_tables=list(codebook_tables(results)),
            inertias=[(result.name, result.inertia) for result in results if result.inertia],
            stability_tables=disturbed,
            label_tables=list(label_tables(results)),
            label_codebook_tables=list(label_codebook_tables(results)),
            unchecked=list(unchecked(results, disturbed, clips)),
            origins={result.name: list(origins_of(result)) for result in results},
            stamp=stamp,
        )
    )


def write_report(
    results: Sequence[CheckResult],
    corpus: Mapping[str, Any],
    folder: str | Path,
    stabilities: Mapping[str, Stability] | None = None,
    *,
    clips: Clips = _NO_CLIPS,
    failed: Sequence[FailuresOfKind] = (),
    stamp: PageStamp | None = None,
) -> Path:
    """Write `report.html`, `metrics.json` and the data of DVC's plots; return the report's path.

    Args:
        results: see `render_report`.
        corpus: see `render_report`.
        folder: of the report.
        stabilities: see `render_report`.
        clips: see `render_report`.
        failed: see `render_report`.
        stamp: see `render_report`.

    Raises:
        ConfigError: the corpus is described in another way; nothing is written then.
    """
    check_corpus(corpus)
    folder = Path(folder)
    stabilities = stabilities or {}
    compared = side_by_side(results, stabilities)
    numbers = {**metrics(results, stabilities), COMPARED: compared}
    page = _page(results, corpus, stabilities, compared, clips, failed, stamp)
    write_atomic(folder / "metrics.json", readable_json(numbers))
    _write_curves(folder / "codebook_usage", usage_curves(results))
    lengths = length_curves(results[0].lengths) if results else {}
    _write_curves(folder / "utterance_lengths", lengths)
    write_atomic(folder / "report.html", page)
    return folder / "report.html"


def _write_curves(folder: Path, curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the data of DVC's plots, a file a curve, and remove those that there are no longer."""
    for name, rows in curves.items():
        write_atomic(folder / f"{name}.json", readable_json(rows))
    for path in folder.glob("*.json"):
        if path.stem not in curves:
            path.unlink()
