"""Figures of one utterance: features, tokens and single numbers, with time to the right."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from featbank.report.canvas import SERIES, canvas, page_style, svg_of
from featbank.validation.result import Example

Array = np.ndarray[Any, np.dtype[Any]]

_DRAWN_DEVIATIONS = 3


def draw_features(
    example: Example, *, frame_rate: float | None, first_frame_center_s: float | None
) -> str:
    """Draw a feature matrix, time to the right and dimensions upwards; NaN and infinity in red.

    Each dimension is scaled to mean 0 and standard deviation 1, for dimensions such as a cepstrum's
    first and its deltas differ in size by orders of magnitude. Without a frame rate the time axis
    counts frames.
    """
    table = np.array(
        [[np.nan if value is None else value for value in column] for column in example.columns]
    ).T
    top = len(table) * example.values_per_cell
    with page_style():
        figure, axes = canvas()
        colours = mpl.colormaps["magma"].with_extremes(bad="red")
        image = axes.imshow(
            np.round(_standardised(table), 1),  # so few levels that the image has a palette
            aspect="auto",
            origin="lower",
            interpolation="none",
            cmap=colours,
            vmin=-_DRAWN_DEVIATIONS,
            vmax=_DRAWN_DEVIATIONS,
            extent=(
                *time_extent(example, frame_rate, first_frame_center_s),
                -0.5,
                top - 0.5,
            ),
        )
        _finish_time_axis(axes, example, frame_rate, first_frame_center_s, "frame")
        axes.set_ylabel("dimension")
        bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.03)
        bar.set_label("standard deviations")
        bar.outline.set_visible(False)
        return svg_of(figure)


def draw_units(
    example: Example, *, frame_rate: float | None, first_frame_center_s: float | None
) -> str:
    """Draw tokens as a strip, a colour a token; without a frame rate the axis counts places.

    Where a frame has codes of several codebooks there is a strip for each, the first on top.
    """
    strips = [[unit_colour(code) for code in codes] for codes in zip(*example.columns, strict=True)]
    with page_style():
        figure, axes = canvas(height=0.85 if len(strips) == 1 else 1.2 + 0.09 * len(strips))
        axes.imshow(
            np.array(strips),
            aspect="auto",
            interpolation="none",
            extent=(
                *time_extent(example, frame_rate, first_frame_center_s),
                len(strips) - 0.5,
                -0.5,
            ),
        )
        _finish_time_axis(axes, example, frame_rate, first_frame_center_s, "place in the sequence")
        if len(strips) == 1:
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
        else:
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_ylabel("codebook")
        return svg_of(figure)


def draw_sequence(
    example: Example, *, frame_rate: float | None, first_frame_center_s: float | None, label: str
) -> str:
    """Draw one number a frame as steps; without a frame rate the axis counts places."""
    numbers = [column[0] for column in example.columns]
    start, end = time_extent(example, frame_rate, first_frame_center_s)
    with page_style():
        figure, axes = canvas()
        edges = np.linspace(start, end, len(numbers) + 1)
        axes.stairs(np.array(numbers, float), edges, baseline=None, color=SERIES[0])
        _finish_time_axis(axes, example, frame_rate, first_frame_center_s, "place in the sequence")
        axes.set_ylabel(label)
        return svg_of(figure)


def time_extent(
    example: Example, frame_rate: float | None, first_frame_center_s: float | None
) -> tuple[float, float]:
    """Return where the columns begin and end: in seconds, or without a frame rate in frames.

    A frame is drawn from half a hop before its centre to half a hop after.
    """
    rate = frame_rate or 1.0
    start = (first_frame_center_s or 0.0) - 0.5 / rate if frame_rate else 0.0
    return start, start + len(example.columns) * example.frames_per_column / rate


def _finish_time_axis(
    axes: Axes,
    example: Example,
    frame_rate: float | None,
    first_frame_center_s: float | None,
    label: str,
) -> None:
    start, _ = time_extent(example, frame_rate, first_frame_center_s)
    # the last column may stand for fewer frames than it is wide
    axes.set_xlim(start, start + example.num_frames / (frame_rate or 1.0))
    axes.set_xlabel("time (s)" if frame_rate else label)


def _standardised(table: Array) -> Array:
    """Scale the finite values of each row to mean 0 and, unless all are one, deviation 1."""
    finite = np.ma.masked_invalid(table)
    varies = np.ma.filled(finite.max(axis=1, keepdims=True) > finite.min(axis=1, keepdims=True), 0)
    deviation = np.where(varies, np.ma.filled(finite.std(axis=1, keepdims=True), 1), 1)
    scaled = (finite - finite.mean(axis=1, keepdims=True)) / deviation
    filled: Array = scaled.filled(np.nan)
    return filled


def unit_colour(unit: float | None) -> tuple[float, float, float]:
    """Give each unit a colour; steps of the golden ratio keep the hues of any few units apart."""
    if unit is None:
        return (1.0, 0.0, 0.0)
    number = int(unit)
    return hsv_to_rgb(
        number * 0.618034 % 1, 0.4 + number * 7 % 5 * 0.12, 0.9 - number * 3 % 4 * 0.1
    )
