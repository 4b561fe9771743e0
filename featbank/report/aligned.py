"""One utterance, seen through all choices: its spectrogram, and below it the tokens of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, repeat
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from featbank.base.framing import Framing
from featbank.base.units import DURATIONS, UNITS
from featbank.report.canvas import WIDTH, page_style, svg_of
from featbank.report.clips import Clip
from featbank.report.figures import time_extent, unit_colour
from featbank.report.spectrograms import spectrogram
from featbank.validation.result import CheckResult, Example, StoreCheck

MAX_STRIPS = 12
"""Rows of tokens below a spectrogram; choices beyond are counted."""

# of what is drawn, in inches
_TOP_HEIGHT, _STRIP_HEIGHT, _ROW_HEIGHT = 1.7, 0.18, 0.07
_TITLE_HEIGHT, _AXIS_HEIGHT, _LEFT, _RIGHT = 0.24, 0.45, 0.48, 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The tokens of one utterance in one store, on the time axis.

    Args:
        title: of the store.
        example: of the utterance: a column a frame, or of every so many frames.
        frame_rate: frames a second.
        first_frame_center_s: time of the first frame.
    """

    title: str
    example: Example
    frame_rate: float
    first_frame_center_s: float

    @property
    def extent(self) -> tuple[float, float]:
        """Where it begins and ends, in seconds."""
        return time_extent(self.example, self.frame_rate, self.first_frame_center_s)


def strips_of(results: Sequence[CheckResult], split: str, utterance_id: str) -> Iterator[Strip]:
    """Give the tokens of an utterance of a split, store by store; runs of merged units unfold."""
    for result in results:
        here = [store for store in result.stores if store.split == split]
        for name, stores in groupby(here, key=lambda store: store.name):
            store = next(stores)
            if store.codebooks is None or store.header is None or store.example is None:
                continue
            if store.example.id == utterance_id:
                durations = next((one for one in here if one.name == DURATIONS), None)
                title = result.name if name == UNITS else f"{result.name}/{name}"
                strip = _strip(title, store.example, store.header, durations)
                yield from [] if strip is None else [strip]


def _strip(
    title: str, example: Example, header: Mapping[str, Any], durations: StoreCheck | None
) -> Strip | None:
    rate, center_s = header["frame_rate"], header["first_frame_center_s"]
    if rate is None:
        unfolded = _unfolded(example, None if durations is None else durations.example)
        if unfolded is None or header["framing"] is None:
            return None
        framing = Framing.from_json(dict(header["framing"]))
        example, rate, center_s = unfolded, framing.frame_rate, framing.first_frame_center_s
    return Strip(
        title=title, example=example, frame_rate=rate, first_frame_center_s=center_s or 0.0
    )


def _unfolded(units: Example, durations: Example | None) -> Example | None:
    """Return merged units with a column a frame; None where neighbours were left out."""
    if durations is None or durations.id != units.id:
        return None
    if units.frames_per_column > 1 or len(units.columns) != len(durations.columns):
        return None
    runs = zip(units.columns, durations.columns, strict=True)
    columns = tuple(chain.from_iterable(repeat(unit, int(n or 0)) for unit, (n,) in runs))
    return Example(
        id=units.id,
        num_frames=len(columns),
        frames_per_column=1,
        values_per_cell=1,
        columns=columns,
    )


def draw_aligned(clip: Clip | None, strips: Sequence[Strip]) -> str:
    """Draw a spectrogram, and below it a strip a store, a colour a token, all on one time axis.

    Args:
        clip: None where there is no audio: the strips stand alone.
        strips: at least one of these or a clip.
    """
    strip_heights = [
        _STRIP_HEIGHT + _ROW_HEIGHT * len(strip.example.columns[0]) for strip in strips
    ]
    top = _TOP_HEIGHT if clip else 0.0
    height = 0.08 + top + sum(_TITLE_HEIGHT + one for one in strip_heights) + _AXIS_HEIGHT
    end_s = clip.duration_s if clip else max(strip.extent[1] for strip in strips)
    with page_style():
        # places are worked out here: matplotlib's layouts take seconds for so many axes
        figure = Figure(figsize=(WIDTH, height))
        bottom = height - 0.08
        axes = None
        if clip is not None:
            bottom -= top
            axes = _axes(figure, bottom, top)
            axes.imshow(
                spectrogram(clip.waveform, clip.sample_rate),
                aspect="auto",
                origin="lower",
                interpolation="none",
                cmap="magma",
                extent=(0, clip.duration_s, 0, clip.sample_rate / 2000),
            )
            axes.set_ylabel("kHz")
            axes.set_xlim(0, end_s)
        for strip, strip_height in zip(strips, strip_heights, strict=True):
            if axes is not None:
                axes.set_xticks([])
            bottom -= _TITLE_HEIGHT + strip_height
            axes = _axes(figure, bottom, strip_height)
            tokens = zip(*strip.example.columns, strict=True)
            image = np.array([[unit_colour(code) for code in codes] for codes in tokens])
            axes.imshow(
                image,
                aspect="auto",
                interpolation="none",
                extent=(*strip.extent, len(image) - 0.5, -0.5),
            )
            axes.set_title(strip.title, loc="left", fontsize=8, pad=2)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.set_xlim(0, end_s)
        assert axes is not None
        axes.set_xlabel("time (s)")
        return svg_of(figure)


def _axes(figure: Figure, bottom: float, height: float) -> Axes:
    """Add axes over the width of a figure; their place is in inches."""
    whole = figure.get_figheight()
    width = 1 - (_LEFT + _RIGHT) / WIDTH
    return figure.add_axes((_LEFT / WIDTH, bottom / whole, width, height / whole))
