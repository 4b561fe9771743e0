"""Figures of features, tokens and lengths as SVG, in the ink of the page around them."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from colorsys import hsv_to_rgb
from hashlib import sha256
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from featbank.validation.result import Example, LengthHistogram

Array = np.ndarray[Any, np.dtype[Any]]

_INK = "#010203"  # drawn with it, then replaced by the page's own colour, light or dark
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2")
_INCHES = (7.6, 2.3)
_DRAWN_DEVIATIONS = 3
_UNNEEDED = (  # in an SVG that stands in a page
    re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL),
    re.compile(r"\s*<style.*?</style>", re.DOTALL),
    re.compile(r" font-family: [^;\"]*;"),
)
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 9,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "featbank",
    "text.color": _INK,
    "text.parse_math": False,  # a dollar sign in a name is one
    "xtick.color": _INK,
    "ytick.color": _INK,
}


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
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        colours = mpl.colormaps["magma"].with_extremes(bad="red")
        image = axes.imshow(
            _standardised(table),
            aspect="auto",
            origin="lower",
            interpolation="none",
            cmap=colours,
            vmin=-_DRAWN_DEVIATIONS,
            vmax=_DRAWN_DEVIATIONS,
            extent=(
                *_time_extent(example, frame_rate, first_frame_center_s),
                -0.5,
                top - 0.5,
            ),
        )
        _finish_time_axis(axes, example, frame_rate, first_frame_center_s, "frame")
        axes.set_ylabel("dimension")
        bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.03)
        bar.set_label("standard deviations")
        bar.outline.set_visible(False)
        return _svg(figure)


def draw_units(
    example: Example, *, frame_rate: float | None, first_frame_center_s: float | None
) -> str:
    """Draw tokens as a strip, a colour a token; without a frame rate the axis counts places.

    Where a frame has codes of several codebooks there is a strip for each, the first on top.
    """
    strips = [
        [_unit_colour(code) for code in codes] for codes in zip(*example.columns, strict=True)
    ]
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(height=0.85 if len(strips) == 1 else 1.2 + 0.09 * len(strips))
        axes.imshow(
            np.array(strips),
            aspect="auto",
            interpolation="none",
            extent=(
                *_time_extent(example, frame_rate, first_frame_center_s),
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
        return _svg(figure)


def draw_sequence(
    example: Example, *, frame_rate: float | None, first_frame_center_s: float | None, label: str
) -> str:
    """Draw one number a frame as steps; without a frame rate the axis counts places."""
    numbers = [column[0] for column in example.columns]
    start, end = _time_extent(example, frame_rate, first_frame_center_s)
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        edges = np.linspace(start, end, len(numbers) + 1)
        axes.stairs(np.array(numbers, float), edges, baseline=None, color=_COLOURS[0])
        _finish_time_axis(axes, example, frame_rate, first_frame_center_s, "place in the sequence")
        axes.set_ylabel(label)
        return _svg(figure)


def draw_lengths(lengths: LengthHistogram) -> str:
    """Draw how long the utterances are, the splits on top of each other."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        below = np.zeros(max((len(counts) for _, counts in lengths.by_split), default=0))
        edges = np.arange(len(below)) * lengths.bin_s
        for number, (split, counts) in enumerate(lengths.by_split):
            axes.bar(
                edges,
                counts,
                lengths.bin_s * 0.94,
                bottom=below,
                align="edge",
                color=_COLOURS[number % len(_COLOURS)],
                label=f"{split} ({sum(counts):,})",
            )
            below += counts
        axes.set_xlim(0, len(below) * lengths.bin_s)
        axes.set_xlabel("length (s)")
        axes.set_ylabel("utterances")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        return _svg(figure)


def draw_codebooks(used: Sequence[float], perplexities: Sequence[float]) -> str:
    """Draw how much of each of several codebooks is used, and how evenly, the first to the left.

    Args:
        used: share of the codes of each that occur.
        perplexities: of each, as a share of its size: 1 where all codes are used alike.
    """
    edges = np.arange(len(used) + 1) - 0.5
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        axes.stairs(100 * np.array(perplexities), edges, fill=True, color=_COLOURS[0])
        axes.stairs(100 * np.array(used), edges, color=_COLOURS[1], linewidth=1.5, baseline=None)
        for text, colour, height in (
            ("codes used", _COLOURS[1], 16),
            ("perplexity", _COLOURS[0], 3),
        ):
            axes.annotate(
                text,
                (1, 1),
                xycoords="axes fraction",
                xytext=(0, height),
                textcoords="offset points",
                ha="right",
                color=colour,
            )
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, 105)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("codebook")
        axes.set_ylabel("share of its size (%)")
        return _svg(figure)


def draw_usage(usage: Sequence[int]) -> str:
    """Draw how often each unit occurs, the most used first, and what even usage would be."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        total = max(1, sum(usage))
        shares = 100 * np.sort(np.array(usage, float))[::-1] / total
        edges = np.arange(len(usage) + 1) + 0.5
        axes.stairs(shares, edges, fill=True, color=_COLOURS[0])
        axes.axhline(100 / len(usage), color=_INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(
            "even usage",
            (edges[-1], 100 / len(usage)),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
        )
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel("unit, by rank")
        axes.set_ylabel("share of all frames (%)")
        return _svg(figure)


def _canvas(height: float = _INCHES[1]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_INCHES[0], height), layout="constrained")
    return figure, figure.add_subplot()


def _time_extent(
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
    start, _ = _time_extent(example, frame_rate, first_frame_center_s)
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


def _unit_colour(unit: float | None) -> tuple[float, float, float]:
    """Give each unit a colour; steps of the golden ratio keep the hues of any few units apart."""
    if unit is None:
        return (1.0, 0.0, 0.0)
    number = int(unit)
    return hsv_to_rgb(
        number * 0.618034 % 1, 0.4 + number * 7 % 5 * 0.12, 0.9 - number * 3 % 4 * 0.1
    )


def _svg(figure: Figure) -> str:
    """Render an SVG element to stand in a page: the same picture, the same bytes."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    for pattern in _UNNEEDED:
        drawing = pattern.sub("", drawing)
    # an id may stand once on a page of many drawings: only those pointed at stay, as this one's own
    own = sha256(drawing.encode()).hexdigest()[:12]
    pointed_at = set(re.findall(r"#([\w-]+)", drawing))
    drawing = re.sub(
        r' id="([^"]*)"',
        lambda found: f' id="{own}-{found[1]}"' if found[1] in pointed_at else "",
        drawing,
    )
    drawing = re.sub(r'(url\(|xlink:href=")#', rf"\1#{own}-", drawing)
    return drawing.replace(_INK, "currentColor")
