"""A recipe that is killed goes on where it was, however often, and ends as if nothing had been."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.recipes.caching.killed import IDS, Killed
from tests.recipes.caching.recipes import Speech, pad, published
from tests.waiting import HANG_S


def test_a_recipe_that_is_killed_or_fills_the_disk_goes_on_where_it_was(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.recipes.caching.killed", str(tmp_path / "killed")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=HANG_S, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0"]  # left, after the one that was killed as it published
    Killed(tmp_path / "clean", 99).cache_features(Speech(IDS), "train", collate_fn=pad)
    assert published(tmp_path / "killed") == published(tmp_path / "clean")
    assert list((tmp_path / "killed").glob(".*")) == []
