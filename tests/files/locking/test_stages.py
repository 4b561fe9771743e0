"""Whoever knows that an owner is gone tells a stage so."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from featbank.files.locking import lock_path
from featbank.files.locking.owner import Owner
from tests.conftest import ROOT


@pytest.mark.usefixtures("children_without_flock")
def test_a_stage_takes_the_lock_of_another_host_when_it_is_told_to(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    lock_path(out).write_bytes(replace(Owner.this_process(), host="node7", pid=12).to_bytes())

    def prepare(*typed: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "stages/prepare.py", f"paths.manifests={out}", *typed]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    refused = prepare()
    line = refused.stderr.splitlines()[-1]
    assert (refused.returncode, refused.stdout) == (1, "")
    assert line.startswith(f"CorpusError: manifests folder {out}: expected one writer at a time")
    assert "process 12 of host node7, since 2" in line
    assert line.endswith("where it is gone for sure: --break-lock, in Python break_lock=True")
    taken = prepare("--break-lock")
    assert taken.returncode == 0, taken.stderr
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(("value", "expected"), [(None, False), ("true", True), ("false", False)])
def test_dvc_passes_on_that_a_lock_is_to_be_broken(
    value: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("FEATBANK_BREAK_LOCK", raising=False)
    if value is not None:
        monkeypatch.setenv("FEATBANK_BREAK_LOCK", value)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert compose("import_codebook").break_lock is expected
