"""All drawings, by the names of their files: what a test holds against those that are committed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.pictures.flow import draw_flow, read_flow
from benchmarks.pictures.speed import draw_speeds, read_speeds
from benchmarks.pictures.svg import PALETTES

ROOT = Path(__file__).parents[2]
OUT = ROOT / "docs" / "pictures"


def drawn() -> Mapping[str, str]:
    """Return each drawing as SVG, in each variant."""
    stages = read_flow(ROOT / "dvc.yaml")
    stores = read_speeds(ROOT / "benchmarks" / "README.md")
    return {
        f"{name}-{scheme}.svg": content
        for scheme, colours in PALETTES.items()
        for name, content in (
            ("flow", draw_flow(stages, colours)),
            ("speed", draw_speeds(stores, colours)),
        )
    }
