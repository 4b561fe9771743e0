"""Shapes of SVG as text, in the colours of a light page and of a dark one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif"


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours of one variant of a picture.

    Args:
        page: behind everything.
        ink: of text.
        faint: of lesser text and lines, still legible.
        accent: of what the picture is about.
        on_accent: of text upon it.
        other: of bars beside it.
    """

    page: str
    ink: str
    faint: str
    accent: str
    on_accent: str
    other: str


LIGHT = Palette(
    page="#ffffff",
    ink="#1f2328",
    faint="#59636e",
    accent="#0969da",
    on_accent="#ffffff",
    other="#b7bfc8",
)
DARK = Palette(
    page="#0d1117",
    ink="#e6edf3",
    faint="#9198a1",
    accent="#4493f8",
    on_accent="#0d1117",
    other="#484f58",
)
PALETTES = {"light": LIGHT, "dark": DARK}


def drawing(width: float, height: float, title: str, colours: Palette, inner: Iterable[str]) -> str:
    """Return a whole picture, on a page of its own colour, with a title for who cannot see it."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" role="img" font-family="{FONT}" '
            'font-size="14">',
            f"<title>{escape(title)}</title>",
            box(0, 0, width, height, fill=colours.page, radius=8),
            *inner,
            "</svg>\n",
        ]
    )


def box(x: float, y: float, width: float, height: float, *, fill: str, radius: float = 3) -> str:
    """Return a rectangle."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" '
        f'fill="{fill}"/>'
    )


def text(
    x: float,
    y: float,
    said: str,
    *,
    fill: str,
    anchor: str = "start",
    bold: bool = False,
    halo: str = "",
) -> str:
    """Return a line of text; `y` is that of its baseline, `halo` keeps lines behind it away."""
    weight = ' font-weight="600"' if bold else ""
    around = f' paint-order="stroke" stroke="{halo}" stroke-width="5"' if halo else ""
    return (
        f'<text x="{x:g}" y="{y:g}" fill="{fill}" text-anchor="{anchor}"{weight}{around}>'
        f"{escape(said)}</text>"
    )


def line(
    points: Iterable[tuple[float, float]], *, stroke: str, width: float = 1.5, dash: str = ""
) -> str:
    """Return a line through some points."""
    through = " ".join(f"{x:g},{y:g}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polyline points="{through}" fill="none" stroke="{stroke}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )


def dot(x: float, y: float, *, fill: str, radius: float = 3.5) -> str:
    """Return a dot."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill}"/>'


def arrow_down(x: float, y: float, *, fill: str) -> str:
    """Return the head of an arrow whose tip is at a place."""
    return f'<path d="M{x:g} {y:g} l-4.5 -8 h9 z" fill="{fill}"/>'
