"""Charts of lengths, of how codebooks are used, and of units held against labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from featbank.report.canvas import INK, SERIES, canvas, page_style, svg_of
from featbank.report.pooling import pooled
from featbank.validation.confusion import UnitConfusion
from featbank.validation.result import LengthHistogram

_MAX_STEPS = 128


def draw_lengths(lengths: LengthHistogram) -> str:
    """Draw how long the utterances are, the splits on top of each other."""
    with page_style():
        figure, axes = canvas()
        below = np.zeros(max((len(counts) for _, counts in lengths.by_split), default=0))
        edges = np.arange(len(below)) * lengths.bin_s
        for number, (split, counts) in enumerate(lengths.by_split):
            axes.bar(
                edges,
                counts,
                lengths.bin_s * 0.94,
                bottom=below,
                align="edge",
                color=SERIES[number % len(SERIES)],
                label=f"{split} ({sum(counts):,})",
            )
            below += counts
        axes.set_xlim(0, len(below) * lengths.bin_s)
        axes.set_xlabel("length (s)")
        axes.set_ylabel("utterances")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        # above the bars, where it hides none, and from the left, where a phone begins to show it
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)
        return svg_of(figure)


def draw_codebooks(used: Sequence[float], perplexities: Sequence[float]) -> str:
    """Draw how much of each of several codebooks is used, and how evenly, the first to the left.

    Args:
        used: share of the codes of each that occur.
        perplexities: of each, as a share of its size: 1 where all codes are used alike.
    """
    edges = np.arange(len(used) + 1) - 0.5
    with page_style():
        figure, axes = canvas()
        axes.stairs(100 * np.array(perplexities), edges, fill=True, color=SERIES[0])
        axes.stairs(100 * np.array(used), edges, color=SERIES[1], linewidth=1.5, baseline=None)
        for text, colour, height in (
            ("codes used", SERIES[1], 16),
            ("perplexity", SERIES[0], 3),
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
        return svg_of(figure)


def draw_usage(usage: Sequence[int]) -> str:
    """Draw how often each unit occurs, the most used first, and what even usage would be.

    Of more than 128 units a step is the mean of neighbours.
    """
    with page_style():
        figure, axes = canvas()
        total = max(1, sum(usage))
        shares = 100 * np.sort(np.array(usage, float))[::-1] / total
        shares, firsts = pooled(shares, _MAX_STEPS)
        edges = firsts + 0.5
        axes.stairs(shares, edges, fill=True, color=SERIES[0])
        axes.axhline(100 / len(usage), color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
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
        return svg_of(figure)


def draw_confusion(confusion: UnitConfusion) -> str:
    """Draw which share of the labelled frames of each unit has which label: a column a unit.

    The most frequent label is on top; units stand in the order of the label that is theirs.
    """
    frames = np.array(confusion.frames, float)
    shares = 100 * frames / np.maximum(1, confusion.unit_frames)
    with page_style():
        figure, axes = canvas(height=1.1 + 0.115 * len(shares))
        image = axes.imshow(
            shares, aspect="auto", interpolation="none", cmap="magma", vmin=0, vmax=100
        )
        axes.set_yticks(range(len(shares)), confusion.labels, fontsize=7)
        axes.set_xticks([])
        axes.tick_params(left=False)
        axes.set_xlabel("unit, by its likeliest label")
        bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.03)
        bar.set_label("share of the unit's frames (%)")
        bar.outline.set_visible(False)
        return svg_of(figure)
