"""What the measures of quality were taken of, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from featbank.quality.result import (
    AbxScore,
    PhoneDiscrimination,
    SpeakerProbe,
    StoreQuality,
    UnitNgram,
)
from featbank.report.words import counted, format_number
from featbank.validation.result import CheckResult

_TITLES = {"abx": "ABX", "ngram": "n-gram", "speakers": "speakers"}


def told_qualities(results: Sequence[CheckResult]) -> Iterator[tuple[str, list[str]]]:
    """Give each store whose quality was asked for with a sentence a measure."""
    for result in results:
        for one in result.quality or ():
            yield f"{result.name}/{one.name}", list(_told(one))


def _told(quality: StoreQuality) -> Iterator[str]:
    if quality.abx:
        yield _told_abx(quality.abx)
    if quality.ngram:
        yield _told_ngram(quality.ngram)
    if quality.speakers:
        yield _told_speakers(quality.speakers)
    for name, why in quality.absent.items():
        yield f"{_TITLES.get(name, name)}: not measured, for {why}"


def _told_abx(abx: PhoneDiscrimination) -> str:
    context = "between the same neighbours" if abx.by_context else "between any neighbours"
    left_out = f", {abx.num_left_out:,} more left out by the cap" if abx.num_left_out else ""
    return (
        f"ABX: {counted(abx.num_segments, 'phone')} {context}{left_out}; within speakers "
        f"{_cells(abx.within)}, across {_cells(abx.across)}"
    )


def _cells(score: AbxScore | None) -> str:
    if score is None:
        return "nothing to compare"
    return f"{counted(score.num_cells, 'cell')} of {counted(score.num_pairs, 'pair')} of phones"


def _told_ngram(ngram: UnitNgram) -> str:
    return (
        f"n-gram: n = {ngram.order}, trained on {counted(ngram.num_trained, 'unit')}, "
        f"{format_number(ngram.bits_per_unit)} bits for each of {ngram.num_held_out:,} held out; "
        f"with repeats {format_number(ngram.bitrate_of_frames)} bit/s"
    )


def _told_speakers(probe: SpeakerProbe) -> str:
    return (
        f"speakers: {probe.num_speakers:,}, fitted on {counted(probe.num_fitted, 'utterance')}, "
        f"asked for {probe.num_asked:,}"
    )
