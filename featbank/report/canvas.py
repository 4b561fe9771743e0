"""The canvas of figures: SVG in the ink and the colours of the page around it, light or dark."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

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
    re.compile(r" transform=\"rotate\(-0 [^\"]*\""),
    re.compile(r"(?<=\n) +"),
)
_STYLE_OF_USE = re.compile(r'(<use [^>]*?) style="[^"]*"')
_PLACES = re.compile(r' (?:d|x|y)="[^"]*"')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_IMAGE = re.compile(r"base64,([^\"]*)\"")
_MAX_PALETTE = 256
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
    """Render an SVG element to stand in a page: the same picture, the same bytes, and few.

    Places have two decimals of a point, 1/72 inch; images of 256 colours at most have a palette.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    for pattern in _UNNEEDED:
        drawing = pattern.sub("", drawing)
    drawing = _STYLE_OF_USE.sub(r"\1", drawing)  # of ticks: their paths have their own
    drawing = _PLACES.sub(lambda found: _LONG_NUMBER.sub(_shortened, found[0]), drawing)
    drawing = _IMAGE.sub(_with_palette, drawing)
    # an id may stand once on a page of many drawings: only those pointed at stay, as this one's own
    own = sha256(drawing.encode()).hexdigest()[:12]
    pointed_at = set(re.findall(r"#([\w-]+)", drawing))
    drawing = re.sub(
        r' id="([^"]*)"',
        lambda found: f' id="{own}-{found[1]}"' if found[1] in pointed_at else "",
        drawing,
    )
    drawing = re.sub(r'(url\(|xlink:href=")#', rf"\1#{own}-", drawing)
    drawing = _without_bare_groups(drawing)  # which have lost their ids
    for colour, of_page in _OF_PAGE.items():
        drawing = drawing.replace(colour, of_page)
    return drawing


def _without_bare_groups(drawing: str) -> str:
    """Leave out groups that say nothing of what is in them: a browser has fewer elements."""
    said: list[bool] = []

    def kept(tag: re.Match[str]) -> str:
        if tag[0].startswith("</"):
            return tag[0] if said.pop() else ""
        said.append(tag[1] != "")
        return tag[0] if said[-1] else ""

    return re.sub(r"<g\b([^>]*)>\n?|</g>\n?", kept, drawing)


def _shortened(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _with_palette(found: re.Match[str]) -> str:
    """Write an image with a byte a pixel instead of four, where that loses nothing."""
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    colours, numbers = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    if len(colours) > _MAX_PALETTE or (colours[:, 3] < 255).any():
        return found[0]
    small = Image.fromarray(numbers.reshape(pixels.shape[:2]).astype(np.uint8))
    small.putpalette(colours[:, :3].tobytes())
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return f'base64,{base64.b64encode(buffer.getvalue()).decode()}"'
