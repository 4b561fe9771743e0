"""A store of a revision is read out of DVC's remote, with no pull."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.pipeline.dvc_store import open_dvc_store
from featbank.store import StoreWriter, commit_together


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose two revisions of `data/x` are in its remote alone."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FEATBANK_CACHE", str(tmp_path / "cache"))
    _run("git init -q . && git config user.email a@b && git config user.name a && dvc init -q")
    _run(f"dvc remote add --default storage {tmp_path / 'remote'}")
    for number in (1, 2):
        writers = []
        for split in ("train", "dev"):
            writer = StoreWriter(folder / "data" / "x" / split, name="x", dtype="float32")
            writer.write(f"{split}-a", np.full((3, 2), number, np.float32))
            writers.append(writer)
        commit_together(writers)
        _run(f"dvc add -q data/x && dvc push -q && git add . && git commit -qm {number}")
        _run(f"git tag v{number}")
    shutil.rmtree(folder / "data" / "x")
    shutil.rmtree(folder / ".dvc" / "cache")
    return folder


def _run(command: str) -> None:
    subprocess.run(command, shell=True, check=True)  # noqa: S602


def test_each_revision_is_read_without_a_pull(project: Path) -> None:
    now = open_dvc_store("data/x")
    assert now.splits == ("dev", "train")
    np.testing.assert_array_equal(now["train-a"], np.full((3, 2), 2, np.float32), strict=True)
    before = open_dvc_store("data/x/train", rev="v1", remote="storage")
    np.testing.assert_array_equal(before["train-a"], np.full((3, 2), 1, np.float32))
    assert list(open_dvc_store("data/x", "dev", rev="v1").ids) == ["dev-a"]
    assert list(open_dvc_store("data", "dev").ids) == ["dev-a"]
    assert not (project / "data" / "x").exists()


@pytest.mark.usefixtures("project")
def test_what_dvc_does_not_know_is_named() -> None:
    for path, options in (
        ("data/y", {}),
        ("data/x", {"rev": "v9"}),
        ("data/x", {"remote": "elsewhere"}),
    ):
        with pytest.raises(StoreError, match="dvc://"):
            open_dvc_store(path, **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("project")
def test_an_object_that_the_remote_lacks_is_named(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "remote")
    with pytest.raises(StoreError, match=r"dvc:///data/x.*nothing there"):
        open_dvc_store("data/x")
