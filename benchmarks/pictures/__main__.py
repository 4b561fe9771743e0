"""Draw the pictures: `python -m benchmarks.pictures`, of a report, too, with `--report FILE`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.pictures.drawn import OUT, drawn
from benchmarks.pictures.screenshot import shoot_report
from benchmarks.pictures.svg import PALETTES


def main() -> None:
    """Write docs/pictures/."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="such as reports/demo/report.html"
    )
    typed = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    for name, content in drawn().items():
        (OUT / name).write_text(content, encoding="utf-8")
        print(OUT / name)
    for scheme in PALETTES if typed.report else ():
        out = OUT / f"report-{scheme}.webp"
        shoot_report(typed.report, out, scheme)
        print(out)


if __name__ == "__main__":
    main()
