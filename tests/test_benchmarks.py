"""The benchmarks run; what they measure is no matter of tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_parts_of_the_benchmarks_run_and_write_their_numbers(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "tokens", "growth", "--scale", "small"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "numbers.json")],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: a bar was not met, on a machine as it is
    reports = json.loads((tmp_path / "numbers.json").read_text())["reports"]
    assert [report["title"].split(":")[0] for report in reports] == ["Tokens", "Growth"]
    rows = {row["store"]: row for row in reports[0]["rows"]}
    assert rows["featbank"]["size / raw"] < 1.1
    assert rows["featbank"]["reads/s by id"] > 0
    assert "lhotse NumpyHdf5" in rows


@pytest.mark.slow
def test_the_benchmark_of_extraction_runs_on_the_demo_corpus(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "extraction", "--scale", "small"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "numbers.json")],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: a bar was not met, on a machine as it is
    reports = json.loads((tmp_path / "numbers.json").read_text())["reports"]
    titles = [report["title"].split(":")[0] for report in reports]
    assert titles == ["Extraction", "Encoder", "Memory", "Start"]
    for report in reports[:2]:
        ours = [row for row in report["rows"] if row["what"].startswith("featbank")]
        assert [row["x real time"] > 0 for row in ours] == [True]
    waits = [row["seconds"] for row in reports[3]["rows"]]
    assert 0 < waits[0] < waits[1] < waits[2]
