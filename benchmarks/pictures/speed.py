"""The speed: bars of the tables of benchmarks/README.md, where the numbers stand once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pictures.svg import Palette, box, drawing, line, text

PANELS = {
    "dense MB/s read": "utterances, MB / s",
    "25-frame slices/s": "slices of 25 frames / s",
    "token reads/s": "tokens by id / s",
}
"""Columns of the table, and what stands above their bars."""

OURS, FLOOR = "featbank", "floor"

_ROW, _BAR, _LEFT, _TOP, _NAMES, _PANEL, _GAP = 27.0, 17.0, 18.0, 62.0, 282.0, 178.0, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of a store.

    Args:
        name: of the store, as the table has it.
        values: by column, as numbers.
    """

    name: str
    values: dict[str, float]


def read_speeds(path: Path) -> list[Measured]:
    """Read the table of stores: the one whose columns are those of all `PANELS`."""
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in path.read_text(encoding="utf-8").splitlines()
        if row.startswith("|")
    ]
    begin = next(place for place, row in enumerate(rows) if set(PANELS) <= set(row))
    columns = rows[begin]
    found = []
    for row in rows[begin + 2 :]:
        if len(row) != len(columns):
            break
        cells = dict(zip(columns, row, strict=True))
        values = {name: float(cells[name].replace(",", "")) for name in PANELS}
        found.append(Measured(name=row[0], values=values))
    return found


def draw_speeds(stores: list[Measured], colours: Palette) -> str:
    """Draw a panel of bars for each column, ours first, and the floor as a line through all."""
    [floor] = [one for one in stores if one.name == FLOOR]
    bars = sorted(
        (one for one in stores if one.name != FLOOR),
        key=lambda one: (one.name != OURS, -one.values[next(iter(PANELS))]),
    )
    width = _LEFT + _NAMES + len(PANELS) * (_PANEL + _GAP)
    height = _TOP + _ROW * len(bars) + 40
    inner = [
        *(
            text(_LEFT, _TOP + _ROW * row + 14, one.name, **_style(one, colours))
            for row, one in enumerate(bars)
        ),
        *(
            part
            for place, column in enumerate(PANELS)
            for part in _panel(place, column, bars, floor, colours)
        ),
        text(
            _LEFT,
            height - 14,
            "dashed: one flat file, read by numpy.memmap, the least that can be done",
            fill=colours.faint,
        ),
    ]
    said = ", ".join(f"{PANELS[name]}: {_number(bars[0].values[name])}" for name in PANELS)
    return drawing(width, height, f"Reads of featbank. {said}", colours, inner)


def _style(one: Measured, colours: Palette) -> dict[str, str | bool]:
    ours = one.name == OURS
    return {"fill": colours.ink if ours else colours.faint, "bold": ours}


def _panel(
    place: int, column: str, bars: list[Measured], floor: Measured, colours: Palette
) -> Iterator[str]:
    x = _LEFT + _NAMES + place * (_PANEL + _GAP)
    longest = max(one.values[column] for one in [*bars, floor])
    scale = (_PANEL - 4) / longest
    yield text(x, _TOP - 32, PANELS[column], fill=colours.ink, bold=True)
    for row, one in enumerate(bars):
        y, length = _TOP + _ROW * row, one.values[column] * scale
        ours = one.name == OURS
        said = _number(one.values[column])
        yield box(x, y, max(length, 1), _BAR, fill=colours.accent if ours else colours.other)
        if length > _PANEL / 2:
            inside = colours.on_accent if ours else colours.ink
            yield text(x + 8, y + 13, said, fill=inside, bold=ours)
        else:
            yield text(x + length + 6, y + 13, said, fill=colours.faint)
    at = x + floor.values[column] * scale
    bottom = _TOP + _ROW * len(bars)
    yield line([(at, _TOP - 8), (at, bottom)], stroke=colours.ink, width=1.2, dash="4 3")
    yield text(at, _TOP - 10, _number(floor.values[column]), fill=colours.faint, anchor="end")


def _number(value: float) -> str:
    return f"{value:,.0f}"
