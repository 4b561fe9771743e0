"""Choices side by side: one row each of the numbers that choices are made by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from featbank.base.amounts import percent
from featbank.base.units import DURATIONS, UNITS
from featbank.quality.result import StoreQuality
from featbank.report.gauges import Gauges, store_gauges, together
from featbank.report.metrics import pooled_usage, token_fingerprints
from featbank.report.words import format_number
from featbank.stability.result import Stability
from featbank.validation.agreement import Agreement
from featbank.validation.inertia import HeldOutInertia
from featbank.validation.result import CheckResult, StoreCheck
from featbank.validation.rounding import six_digits

COMPARED = "compared"
"""What the table is called in `metrics.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One measure of choices.

    Args:
        key: its name in `metrics.json`.
        title: its heading.
        means: what it says, in a line.
        best: whether the largest or the smallest is best; None where values do not compare.
        is_share: whether it is told in percent.
    """

    key: str
    title: str
    means: str
    best: Callable[[Iterable[float]], float] | None
    is_share: bool = False

    def told(self, value: float | None) -> str:
        """Return a value as people read it; a dash for one that is not there."""
        if value is None:
            return "-"
        if self.is_share:
            return percent(value, 1)
        # three digits, also where they are zeros: numbers below each other compare at a glance
        rounded = float(f"{value:.3g}")
        return format_number(rounded) if abs(rounded) >= 1000 else f"{rounded:#.3g}".rstrip(".")


UNIT_COLUMNS = (
    Column(
        key="inertia", title="Inertia", best=None,
        means="mean squared distance of held-out frames to their centroids; it compares tokens of "
        "one feature alone, so none is marked",
    ),
    Column(
        key="codes_used", title="Used", best=max, is_share=True,
        means="share of the codes that occur",
    ),
    Column(
        key="perplexity", title="Perplexity", best=max,
        means="so many evenly used codes would be as varied",
    ),
    Column(
        key="bitrate", title="bit/s", best=min,
        means="of units without repeats, each coded by how often it occurs",
    ),
    Column(
        key="ngram_bitrate", title="n-gram bit/s", best=min,
        means="the same of held-out units, each coded by the units before it",
    ),
)  # fmt: skip
"""How units are spread, and how many bits they are."""

CONTENT_COLUMNS = (
    Column(
        key="phone_purity", title="Purity", best=max,
        means="share of the frames whose phone is the likeliest of their code",
    ),
    Column(
        key="pnmi", title="PNMI", best=max,
        means="share of a phone's uncertainty that its code takes away",
    ),
    Column(
        key="abx_within", title="ABX within", best=min, is_share=True,
        means="how often a phone lies nearer to another than to itself, by one speaker; 50 % is "
        "chance",
    ),
    Column(
        key="abx_across", title="ABX across", best=min, is_share=True,
        means="the same where the phone itself is by another speaker",
    ),
    Column(
        key="speaker_accuracy", title="Speaker", best=min, is_share=True,
        means="how often a linear map names the speaker of an utterance's mean frame",
    ),
    Column(
        key="speaker_chance", title="Chance", best=None, is_share=True,
        means="how often naming the most frequent speaker is right",
    ),
    Column(
        key="flip_rate", title="Flips", best=min, is_share=True,
        means="share of the tokens that noise of one step, a shift of 10 ms and -6 dB change, on "
        "average",
    ),
)  # fmt: skip
"""What is in them: phones, speakers, noise."""

COLUMNS = (*UNIT_COLUMNS, *CONTENT_COLUMNS)
"""Of the table, in its order."""


def side_by_side(
    results: Sequence[CheckResult], stabilities: Mapping[str, Stability]
) -> dict[str, dict[str, float]]:
    """Return the measures of each choice, by its name and by the keys of `COLUMNS`.

    A choice of several stores has a row for each, `tokens/mfcc-kmeans100/NAME`. What was not
    measured is not there. Token counts are of all splits, and agreement is their mean, by frames.
    """
    return {
        name: {key: six_digits(value) for key, value in found if value is not None}
        for result in results
        for name, found in _rows(result, stabilities.get(result.name))
    }


def in_tables(
    compared: Mapping[str, Mapping[str, float]],
) -> Iterator[tuple[Sequence[Column], Mapping[str, Mapping[str, float]]]]:
    """Divide the measures in tables that fit a page: columns, and the choices that have any."""
    for columns in (UNIT_COLUMNS, CONTENT_COLUMNS):
        keys = {column.key for column in columns}
        rows = {name: row for name, row in compared.items() if keys & row.keys()}
        if rows:
            yield columns, rows


def best_of(table: Mapping[str, Mapping[str, float]]) -> set[tuple[str, str]]:
    """Return the cells that are best, by row and key: among features, and among tokens.

    What reads the same is equal. Equals are all best; none is where all are equal.
    """
    found: set[tuple[str, str]] = set()
    for kind in {name.partition("/")[0] for name in table}:
        rows = {name: row for name, row in table.items() if name.partition("/")[0] == kind}
        for column in COLUMNS:
            values = {name: row[column.key] for name, row in rows.items() if column.key in row}
            told = {name: column.told(value) for name, value in values.items()}
            if column.best is not None and len(set(told.values())) > 1:
                best = column.told(column.best(values.values()))
                found |= {(name, column.key) for name, one in told.items() if one == best}
    return found


def _rows(
    result: CheckResult, stability: Stability | None
) -> Iterator[tuple[str, list[tuple[str, float | None]]]]:
    usage, fingerprints = pooled_usage(result), token_fingerprints(result)
    qualities = {one.name: one for one in result.quality or ()}
    by_name = groupby(result.stores, key=lambda store: store.name)
    stores = {name: list(some) for name, some in by_name if name != DURATIONS}
    for name, some in stores.items():
        audio_s = sum(one.audio_s for one in some if one.codebooks)
        gauges = store_gauges(usage.get(name), audio_s)
        flips = stability and stability.of_store(name, fingerprints.get(name, ""))
        rates = [one.flip_rate for one in flips.values()] if flips else []
        is_plain = name == UNITS or len(stores) == 1
        yield (
            result.name if is_plain else f"{result.name}/{name}",
            [
                ("inertia", _held_out(result.inertia)),
                *_gauged(together(gauges) if gauges else None),
                *_labelled(some),
                *_qualities(qualities.get(name)),
                ("flip_rate", sum(rates) / len(rates) if rates else None),
            ],
        )


def _held_out(inertia: HeldOutInertia | None) -> float | None:
    splits = inertia.splits.values() if inertia else ()
    return _mean([(one.mean_squared_distance, one.num_frames) for one in splits])


def _gauged(gauges: Gauges | None) -> list[tuple[str, float | None]]:
    if gauges is None:
        return []
    return [
        ("codes_used", gauges.codes_used),
        ("perplexity", gauges.perplexity),
        ("bitrate", gauges.bitrate_deduplicated_entropy_coded),
    ]


def _labelled(stores: Sequence[StoreCheck]) -> list[tuple[str, float | None]]:
    found = [
        (asdict(Agreement.mean(one.labels.codebooks)), one.labels.num_frames)
        for one in stores
        if one.labels and one.labels.codebooks
    ]
    return [
        (key, _mean([(one[key], frames) for one, frames in found if one[key] is not None]))
        for key in ("phone_purity", "pnmi")
    ]


def _qualities(quality: StoreQuality | None) -> list[tuple[str, float | None]]:
    if quality is None:
        return []
    abx, ngram, speakers = quality.abx, quality.ngram, quality.speakers
    return [
        ("abx_within", abx.within.error_rate if abx and abx.within else None),
        ("abx_across", abx.across.error_rate if abx and abx.across else None),
        ("ngram_bitrate", ngram.bitrate if ngram else None),
        ("speaker_accuracy", speakers.accuracy if speakers else None),
        ("speaker_chance", speakers.chance if speakers else None),
    ]


def _mean(weighted: Sequence[tuple[float, int]]) -> float | None:
    """Return the mean of values with weights; None of none."""
    total = sum(weight for _, weight in weighted)
    return sum(value * weight for value, weight in weighted) / total if total else None
