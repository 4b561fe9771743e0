"""The bounds of dependencies, and the script that tries the lowest of what they allow."""

from __future__ import annotations

import re
import subprocess
import sys

from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.lowest import extras, lowest, requirements

NOT_LOCKED = {"dvc-gs"}  # Google's storage, which no test reaches: its clients are many packages

SCRIPT = (ROOT / ".ci/lowest").read_text(encoding="utf-8")


def test_every_dependency_has_one_lower_bound_and_the_lock_is_within_its_bounds() -> None:
    pins = (line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines())
    locked = dict(pin for pin in pins if len(pin) == 2)
    for requirement in requirements():
        if requirement.name in NOT_LOCKED:
            continue
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier, requirement
        bounds = [one for one in requirement.specifier if one.operator == ">="]
        highest = [one for one in requirement.specifier if one.operator == "<"]
        assert len(bounds) == 1 or highest, requirement


def test_what_the_script_installs_is_what_pyproject_allows_at_least() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "tests.lowest"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert f"torch=={next(lowest(one) for one in requirements() if one.name == 'torch')}" in printed
    assert len(printed) == sum(lowest(one) is not None for one in requirements())
    assert {"transformers", "archive", "bpe", "pitch"} <= set(extras())
    assert "-m tests.lowest --extras" in SCRIPT


def test_the_tests_that_the_script_runs_are_there() -> None:
    named = re.findall(r"tests/[\w/]+(?:\.py)?", SCRIPT)
    assert len(named) >= 9
    assert [name for name in named if not (ROOT / name).exists()] == []
