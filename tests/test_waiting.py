"""The rule that tests wait for events, and that one limit alone ends what hangs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.waiting import HANG_S


def test_what_hangs_is_named_before_pytest_ends_its_test(root: Path) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["pytest"]
    assert settings["ini_options"]["timeout"] > 2 * HANG_S


def test_no_test_has_a_deadline_of_its_own(root: Path) -> None:
    own = re.compile(r"timeout(?:_s)?=\d|monotonic\(\) \+ \d|\.(?:wait|join)\(\d")
    found = {
        f"{path.relative_to(root)}: {line.strip()}"
        for path in (root / "tests").rglob("*.py")
        if path.name != Path(__file__).name
        for line in path.read_text(encoding="utf-8").splitlines()
        if own.search(line)
    }
    # a daemon of Slurm that does not end in a minute is killed
    assert found == {"tests/runners/slurm_cluster.py: process.wait(60)"}
