"""Pictures of one choice: how its codebooks are used, what its units mean, and an utterance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import log2, prod
from typing import Any

from markupsafe import Markup

from featbank.base.amounts import percent
from featbank.base.units import DURATIONS, UNITS
from featbank.report.charts import draw_codebooks, draw_confusion, draw_usage
from featbank.report.figures import draw_features, draw_sequence, draw_units
from featbank.report.gauges import entropy_bits
from featbank.report.metrics import pooled_usage
from featbank.report.pictures import Draw, Picture
from featbank.report.words import counted
from featbank.validation.confusion import UnitConfusion
from featbank.validation.result import CheckResult, Example, StoreCheck
from featbank.validation.usage import CodebookUsage


def usage_pictures(results: Sequence[CheckResult]) -> Iterator[Draw]:
    """Give what draws how the codebooks of each choice are used."""
    for result in results:
        for name, codebooks in pooled_usage(result).items():
            if len(codebooks) == 1 and any(codebooks[0].frames):
                yield partial(_usage_picture, result.name, codebooks[0].frames)
            elif len(codebooks) > 1 and all(sum(one.frames) for one in codebooks):
                yield partial(_codebooks_picture, result.name, name, codebooks)


def confusion_pictures(results: Sequence[CheckResult]) -> Iterator[Draw]:
    """Give what draws which labels units go with, in the split of the most labelled frames."""
    for result in results:
        for name in dict.fromkeys(store.name for store in result.stores):
            confused = [one for one in result.stores if one.name == name and one.confusion]
            if confused:
                most = max(confused, key=lambda one: one.labels.num_frames if one.labels else 0)
                assert most.confusion
                yield partial(_confusion_picture, result.name, most, most.confusion)


def example_pictures(results: Sequence[CheckResult]) -> Iterator[Draw]:
    """Give what draws an utterance of each store of a choice, of the first split that has one."""
    for result in results:
        drawn: set[str] = set()
        for store in result.stores:
            if store.name not in drawn and store.example is not None and store.header is not None:
                drawn.add(store.name)
                yield partial(_example_picture, result.name, store, store.example, store.header)


def _usage_picture(choice: str, counts: Sequence[int]) -> Picture:
    entropy, dead = entropy_bits(counts), counts.count(0)
    return Picture(
        choice=choice,
        title="How the codebook is used",
        drawing=Markup(draw_usage(counts)),  # noqa: S704
        caption=(
            f"Share of each of the {len(counts)} units among {sum(counts):,} frames in all splits, "
            f"the most used first. Perplexity {2**entropy:.1f} of {len(counts)} "
            f"(entropy {entropy:.2f} of {log2(len(counts)):.2f} bits); "
            f"{_never_used(dead, 'unit')}."
        ),
    )


def _codebooks_picture(choice: str, name: str, codebooks: Sequence[CodebookUsage]) -> Picture:
    used = [1 - one.frames.count(0) / len(one.frames) for one in codebooks]
    even = [2 ** entropy_bits(one.frames) / len(one.frames) for one in codebooks]
    least = min(range(len(even)), key=even.__getitem__)
    dead = sum(one.frames.count(0) for one in codebooks)
    return Picture(
        choice=choice,
        title=f"How the {len(codebooks)} codebooks of {name} are used",
        drawing=Markup(draw_codebooks(used, even)),  # noqa: S704
        caption=(
            f"Of each codebook, in all splits: the share of its {len(codebooks[0].frames)} codes "
            "that occur, and its perplexity as a share of that size, 100 % where all occur alike. "
            f"Codebook {least} is used the least evenly, {percent(even[least], 1)}; "
            f"{_never_used(dead, 'code')}."
        ),
    )


def _never_used(dead: int, noun: str) -> str:
    return f"{counted(dead, noun)} never used" if dead else f"every {noun} is used"


def _confusion_picture(choice: str, store: StoreCheck, confusion: UnitConfusion) -> Picture:
    first = " of the first codebook" if len(store.codebooks or ()) > 1 else ""
    kept = f"{len(confusion.units):,} of {confusion.num_units:,} units{first}"
    return Picture(
        choice=choice,
        title=f"Which labels the units go with, {store.split}",
        drawing=Markup(draw_confusion(confusion)),  # noqa: S704
        caption=(
            f"A column a unit, a row a label, bright for the share of the unit's frames that have "
            f"the label; the most frequent {kept} and {len(confusion.labels):,} of "
            f"{confusion.num_labels:,} labels. A unit with one bright cell stands for one label."
        ),
    )


def _example_picture(
    choice: str, store: StoreCheck, example: Example, header: Mapping[str, Any]
) -> Picture:
    rate, shape = header["frame_rate"], header["shape"]
    grid = {"frame_rate": rate, "first_frame_center_s": header["first_frame_center_s"]}
    merged = rate is None and store.name in (UNITS, DURATIONS)
    told = f"Utterance {example.id}: {counted(example.num_frames, 'unit' if merged else 'frame')}"
    if store.codebooks is not None or not shape:
        if store.codebooks is not None:
            drawing = draw_units(example, **grid)
            several = len(store.codebooks) > 1
            told += f" of {counted(len(store.codebooks), 'codebook')}" if several else ""
            told += f", a colour a {'code' if several else 'unit'}"
        else:
            label = "duration (frames)" if store.name == DURATIONS else "value"
            drawing = draw_sequence(example, **grid, label=label)
        if example.frames_per_column > 1:
            told += f", one in {example.frames_per_column} drawn"
    else:
        drawing = draw_features(example, **grid)
        told += f" of {counted(prod(shape), 'dimension')}"
        if example.frames_per_column > 1:
            told += f", a column the mean of {example.frames_per_column} frames"
        if example.values_per_cell > 1:
            told += f", a row the mean of {example.values_per_cell} dimensions"
        told += "; each dimension is drawn scaled to mean 0 and standard deviation 1"
    if rate:
        told += f"; {rate:g} frames a second"
    return Picture(
        choice=choice,
        title=f"{example.id} ({store.name}, {store.split})",
        drawing=Markup(drawing),  # noqa: S704
        caption=f"{told}.",
    )
