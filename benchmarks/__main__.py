"""Measure and print one table a bar: `python -m benchmarks [PART ...]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks import (
    batching,
    clustering,
    cutting,
    dense,
    extraction,
    growth,
    host,
    large,
    loader,
    preparing,
    remote,
    reporting,
    segments,
    tokens,
    write,
)
from benchmarks.bars import Report
from benchmarks.scale import SCALES, Scale
from benchmarks.shelf import Shelf

PARTS: dict[str, Callable[[Shelf, Scale], Iterable[Report]]] = {
    "dense": dense.measure,
    "tokens": tokens.measure,
    "write": write.measure,
    "large": large.measure,
    "growth": growth.measure,
    "loader": loader.measure,
    "batches": batching.measure,
    "segments": segments.measure,
    "prepare": preparing.measure,
    "extraction": extraction.measure,
    "host": host.measure,
    "cut": cutting.measure,
    "kmeans": clustering.measure,
    "remote": remote.measure,
    "report": reporting.measure,
}

_QUIET_AND_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; return 1 when a bar is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all, when none is named")
    parser.add_argument("--scale", choices=SCALES, default="full", help="small: about a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    parser.add_argument(
        "--folder", type=Path, help="work here and keep the large stores; else in a temporary one"
    )
    parser.add_argument(
        "--audio", type=Path, metavar="FOLDER", help="speech to extract from; else the demo corpus"
    )
    parser.add_argument(
        "--whisper", type=Path, metavar="FOLDER", help="Whisper tiny.en, for kmeans; else left out"
    )
    options = parser.parse_args(arguments)
    os.environ.update(_QUIET_AND_OFFLINE)  # before a peer is imported
    console = Console(width=None if sys.stdout.isatty() else 120)
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    reports = []
    with TemporaryDirectory(dir=options.folder, prefix="featbank-benchmarks-") as temporary:
        shelf = Shelf(
            Path(temporary),
            kept=options.folder or Path(temporary),
            audio=options.audio,
            whisper=options.whisper,
        )
        for part in options.parts or PARTS:
            console.print(f"measuring {part} ...", style="dim")
            for report in PARTS[part](shelf, SCALES[options.scale]):
                report.print(console)
                reports.append(report)
    bars = [bar for report in reports for bar in report.bars]
    console.print(f"{sum(bar.is_met for bar in bars)} of {len(bars)} bars met")
    if options.scale != "full":
        console.print("too little was measured to judge by: the bars are those of the full scale")
    if options.json:
        found = {"scale": options.scale, "reports": [report.to_json() for report in reports]}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(bar.is_met for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
