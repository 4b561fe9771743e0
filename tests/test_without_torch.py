"""Stores read in an environment without torch, made as docs/install.md says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from featbank.machine.packages import EXTRAS
from tests.conftest import ROOT

PAGE = (ROOT / "docs/install.md").read_text(encoding="utf-8")

_WRITE = """
import numpy as np
from featbank.store import StoreWriter
for folder, value in (("data/features/demo/mfcc/mfcc", 0), ("other", 1)):
    with StoreWriter(folder + "/train", name="mfcc", dtype="float32", shape=(4,),
        fingerprint="a" * 64, provenance={}, numerics={}, frame_rate=100.0,
        first_frame_center_s=0.0) as writer:
        for number in range(3):
            writer.write(f"u{number}", np.full((5 + number, 4), number + value, np.float32))
        writer.commit()
"""
_READ = """
from featbank.cli import main
store = "data/features/demo/mfcc/mfcc"
for status, command in (
    (0, f"ls {store}"), (0, f"info {store}/train"), (0, f"head {store}/train --json"),
    (0, f"verify {store}/train"), (1, f"diff {store}/train other/train"),
    (0, f"card {store}/train"), (0, f"export {store}/train --to webdataset out"),
    (1, "doctor"), (1, "check"),
):
    assert main(command.split()) == status, command
assert batch.shape == (3, 7, 4) and lengths.tolist() == [5, 6, 7] and batch[2, 6, 0] == 2
try:
    import torch
except ModuleNotFoundError:
    print("no torch")
"""


def _run(command: list[str], folder: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=clean, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def _with_all_they_need(names: Iterable[str]) -> dict[str, metadata.Distribution]:
    """Return distributions of this environment, and those that they need in turn."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [*names]
    while waiting:
        if (name := waiting.pop()) not in found:
            found[name] = metadata.distribution(name)
            needed = map(Requirement, found[name].requires or ())
            here = [one for one in needed if not one.marker or one.marker.evaluate({"extra": ""})]
            waiting += [one.name for one in here]
    return found


def _link(names: Iterable[str], python: Path) -> None:
    """Link distributions, and those that they need, into the environment of a Python."""
    [packages] = python.parents[1].glob("lib/python3*/site-packages")
    for distribution in _with_all_they_need(names).values():
        for top in {path.parts[0] for path in distribution.files or () if path.parts[0] != ".."}:
            (packages / top).exists() or (packages / top).symlink_to(
                Path(str(distribution.locate_file(top)))
            )


@pytest.mark.slow
def test_stores_are_read_compared_and_batched_without_torch(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "environment/bin/python"
    _run([sys.executable, "-m", "venv", "--without-pip", str(python.parents[1])], tmp_path)
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    _run([*pip, "install", "--no-index", "--no-deps", str(wheel)], tmp_path)
    # links in place of the second `pip install`, so that the test needs no network
    [line] = re.findall(r"^pip install (fsspec .*)$", PAGE, re.MULTILINE)
    _link(line.split(), python)
    [batches] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    said = _run([str(python), "-c", _WRITE + batches + _READ], tmp_path)
    assert said.endswith("no torch\n")
    assert "different: 1 store" in said
    assert re.search(r"torch\tnot installed\tmissing\tpip install .*docs/install.md", said)
    assert "featbank check: expected the package " in said

    [line] = re.findall(r"^pip install (dvc .*?) *#", PAGE, re.MULTILINE)
    _link(line.split(), python)
    featbank = [str(python), "-m", "featbank"]
    mine = tmp_path / "mine"
    (mine / "corpora/mine").mkdir(parents=True)
    _run([*featbank, "init", "mine", "--name", "mine", "--feature", "fbank"], tmp_path)
    said = _run([*featbank, "check"], mine)
    assert "go together\nnot checked: the arguments of 1 extractor (torch is not installed)" in said
    assert "nothing that was scanned holds them" in _run([*featbank, "where", "nobody-1"], mine)


def test_the_page_lists_every_extra_with_what_it_opens() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert dict(rows) == dict(EXTRAS)
