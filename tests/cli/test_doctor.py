"""What a machine has: told in words, rows and JSON, with what to type next."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from featbank.cli import main
from featbank.machine import hardware
from featbank.machine.packages import EXTRAS
from tests.conftest import ROOT

Facts = dict[str, dict[str, Any]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which DVC is, with a cache beside it."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    cache = tmp_path / "cache"
    (folder / ".dvc/config").write_text(f"[core]\nno_scm = true\n[cache]\ndir = {cache}\n")
    monkeypatch.chdir(folder)
    return folder


def examine(capsys: pytest.CaptureFixture[str], status: int = 0) -> Facts:
    assert main(["doctor", "--json"]) == status
    return {one["what"]: one for one in json.loads(capsys.readouterr().out)["facts"]}


def test_what_a_project_needs_is_there_and_nothing_is_left_behind(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = examine(capsys)
    for name in ("Python", "torch", "dvc", "libsndfile", "git", "file locks"):
        assert facts[name]["verdict"] == "ok"
    assert facts["torch"]["value"] == metadata.version("torch")
    assert facts["links to DVC's cache"]["value"].startswith("hardlink")
    assert {"processors", "instructions", "memory", "GPU", "disk of the project"} < facts.keys()
    assert [path.name for path in project.iterdir()] == [".dvc"]
    assert not list(project.parent.glob("cache*/*"))


def test_a_bare_machine_is_told_what_to_type_as_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor"]) == 1  # for want of git
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["what", "value", "verdict", "hint", "is_needed"]
    assert {len(row) for row in rows} == {5}
    found = {row[0]: row[1:] for row in rows[1:]}
    assert found["git"] == [
        "none",
        "missing",
        "install git: versions of data are commits of it",
        "true",
    ]
    assert found["ffmpeg"][1:] == [
        "missing",
        "m4a, mp4, aac, wma, webm and amr need it: apt install ffmpeg",
        "false",
    ]
    assert found["GPU"][:2] == ["none", "slow"]
    assert "links to DVC's cache" not in found  # outside of a project
    assert all(row[3] for row in rows[1:] if row[2] != "ok")


@pytest.mark.usefixtures("project")
def test_a_package_of_another_version_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = metadata.version
    old = {"h5py": "3.0.0", "kaldiio": "1.0"}
    monkeypatch.setattr(metadata, "version", lambda name: old.get(name) or version(name))
    h5py = examine(capsys, status=1)["h5py"]
    assert h5py["verdict"] == "missing"
    assert h5py["value"] == "3.0.0, not >=3.13"
    assert h5py["hint"] == 'pip install "h5py>=3.13"'


@pytest.mark.usefixtures("project")
def test_disks_without_locks_and_links_are_slow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(fcntl, "ioctl", refuse)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    facts = examine(capsys)
    assert facts["file locks"]["verdict"] == "slow"
    assert "--break-lock" in facts["file locks"]["hint"]
    assert facts["links to DVC's cache"]["verdict"] == "slow"
    assert "dvc cache dir" in facts["links to DVC's cache"]["hint"]


def test_a_limit_of_a_container_counts_as_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text("1073741824\n")
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    monkeypatch.setattr(hardware, "_CONTROL_GROUPS", tmp_path)
    facts = {one.what: one for one in hardware.hardware_facts()}
    assert facts["memory"].value.endswith("limited to 1.0 GiB")
    assert facts["memory"].verdict == "slow"
    assert facts["processors"].value.endswith("limited to the time of 1.5")


def test_every_extra_is_told_with_what_it_opens() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*EXTRAS} == {*declared["optional-dependencies"]} - {"benchmarks", "dev", "docs"}
