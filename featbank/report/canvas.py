"""The canvas of figures: SVG in the ink and the colours of the page around it, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#010203"
"""What lines and words are drawn with: the page's own colour."""

SERIES = ("#010301", "#010302", "#010303", "#010304")
"""What curves and bars are drawn with: `--plot-1` to `--plot-4` of the page's style."""

WIDTH = 7.6
_HEIGHT = 2.3
_OF_PAGE = {INK: "currentColor"} | {
    colour: f"var(--plot-{number})" for number, colour in enumerate(SERIES, start=1)
}
_UNNEEDED = (  # in an SVG that stands in a page
    re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL),
    re.compile(r"\s*<style.*?</style>", re.DOTALL),
    re.compile(r" font-family: [^;\"]*;"),
)
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "featbank",
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is one
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def page_style() -> Iterator[None]:
    """Draw what is drawn meanwhile in the style of the page."""
    with mpl.rc_context(_STYLE):
        yield


def canvas(height: float = _HEIGHT) -> tuple[Figure, Axes]:
    """Return a figure of the page's width with one pair of axes; heights are in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def svg_of(figure: Figure) -> str:
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
    for colour, of_page in _OF_PAGE.items():
        drawing = drawing.replace(colour, of_page)
    return drawing
