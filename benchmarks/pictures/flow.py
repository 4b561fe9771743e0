"""The flow: stages and what they hand on, as dvc.yaml has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.pictures.svg import Palette, arrow_down, box, dot, drawing, line, text

_BOX_WIDTH, _BOX_HEIGHT = 84.0, 30.0
_STEP_X, _STEP_Y = 106.0, 54.0
_LEFT, _TOP = 20.0, 26.0

# what is no output of a stage, and each of them reads some of: settings, and digests of code
_SETTINGS = ("code", "conf", "featbank", "stages")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStage:
    """A script of `stages/`, which one or more stages of dvc.yaml run.

    Args:
        name: of the script.
        reads: folders of outputs and of audio, such as `data/manifests`.
        writes: the folder of its output.
    """

    name: str
    reads: frozenset[str]
    writes: str


def read_flow(path: Path) -> list[FlowStage]:
    """Read the stages of dvc.yaml, each after those whose outputs it reads."""
    stages: dict[str, FlowStage] = {}
    for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["stages"].values():
        one = _stage(entry.get("do", entry))
        if one.writes in _SETTINGS:
            continue
        known = stages.get(one.name, one)
        reads = known.reads | one.reads
        stages[one.name] = FlowStage(name=one.name, reads=reads, writes=one.writes)
    return list(_in_order(stages))


def draw_flow(stages: list[FlowStage], colours: Palette) -> str:
    """Draw stages on a diagonal: what each writes goes right, and down to those that read it."""
    from_outside = sorted({name for one in stages for name in one.reads} - _written(stages))
    width = 2 * _LEFT + _STEP_X * (len(stages) - 1) + _BOX_WIDTH + 56
    height = 2 * _TOP + _STEP_Y * len(stages)
    lanes = [*((-1, name) for name in from_outside), *enumerate(one.writes for one in stages)]
    inner = [
        *(part for row, name in lanes for part in _lane(stages, name, row, colours)),
        *(_label(name, row, colours) for row, name in lanes),
        *(part for row, one in enumerate(stages) for part in _boxed(one, row, colours)),
    ]
    title = "; ".join(f"{one.name} makes {one.writes}" for one in stages)
    return drawing(width, height, title, colours, inner)


def _stage(entry: Mapping[str, Any]) -> FlowStage:
    script = re.search(r"stages/(\w+)\.py", entry["cmd"])
    assert script, entry["cmd"]
    [output, *_] = {_folder(_path(one)) for one in entry["outs"]}
    deps = {_folder(_path(one)) for one in entry["deps"]}
    return FlowStage(
        name=script[1], reads=frozenset(deps) - frozenset(_SETTINGS) - {""}, writes=output
    )


def _path(entry: str | Mapping[str, Any]) -> str:
    return entry if isinstance(entry, str) else next(iter(entry))


def _folder(path: str) -> str:
    """Return what stands before the first part of a path that hangs on a choice: `data/tokens`."""
    folder = path.partition("/${")[0]
    return folder.partition("/")[0] if folder.startswith(_SETTINGS) else folder


def _written(stages: list[FlowStage]) -> set[str]:
    return {one.writes for one in stages}


def _in_order(stages: Mapping[str, FlowStage]) -> Iterator[FlowStage]:
    left = dict(stages)
    while left:
        unwritten = {one.writes for one in left.values()}
        name = next(name for name, one in left.items() if not one.reads & unwritten)
        yield left.pop(name)


def _boxed(stage: FlowStage, row: int, colours: Palette) -> Iterator[str]:
    x, y = _corner(row)
    yield box(x, y, _BOX_WIDTH, _BOX_HEIGHT, fill=colours.accent, radius=6)
    yield text(
        x + _BOX_WIDTH / 2, y + 20, stage.name, fill=colours.on_accent, anchor="middle", bold=True
    )


def _lane(stages: list[FlowStage], name: str, row: int, colours: Palette) -> Iterator[str]:
    """Give the line of an output from the stage of a row, or of what comes from outside."""
    readers = [place for place, one in enumerate(stages) if name in one.reads]
    start, y = _start(row)
    end = max([_entry(place, row) for place in readers], default=start + 24)
    yield line([(start, y), (end, y)], stroke=colours.faint)
    for place in readers:
        x, top = _entry(place, row), _corner(place)[1]
        yield line([(x, y), (x, top - 4)], stroke=colours.faint)
        yield dot(x, y, fill=colours.faint)
        yield arrow_down(x, top - 1, fill=colours.faint)


def _label(name: str, row: int, colours: Palette) -> str:
    x, y = _start(row)
    said = name.rpartition("/")[2]
    return text(x + 8, y - 6, said, fill=colours.ink, halo=colours.page)


def _start(row: int) -> tuple[float, float]:
    x, y = _corner(row)
    return x + (_BOX_WIDTH if row >= 0 else 0), y + _BOX_HEIGHT / 2


def _entry(place: int, row: int) -> float:
    """Return where an output of a row enters a stage: each at a place of its own."""
    return _corner(place)[0] + _BOX_WIDTH * (row + 1.5) / (place + 1)


def _corner(row: int) -> tuple[float, float]:
    return _LEFT + _STEP_X * max(row, 0), _TOP + _STEP_Y * (row + 1) - 16
