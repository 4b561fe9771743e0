"""A store of a revision is read out of DVC's remote, with no pull."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo

from featbank.errors import StoreError
from featbank.pipeline.dvc_store import open_dvc_store
from featbank.store import StoreWriter, commit_together

# of a library that DVC adds with
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose two revisions of `data/x` are in the remote beside it alone."""
    place = tmp_path_factory.mktemp("dvc")
    folder = place / "project"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _git("init", "-q")
        Repo.init().close()
        with Repo() as repo, repo.config.edit() as config:
            config["core"]["remote"] = "storage"
            config["remote"] = {"storage": {"url": str(place / "remote")}}
        for number in (1, 2):
            writers = []
            for split in ("train", "dev"):
                writer = StoreWriter(folder / "data" / "x" / split, name="x", dtype="float32")
                writer.write(f"{split}-a", np.full((3, 2), number, np.float32))
                writers.append(writer)
            commit_together(writers)
            with Repo() as repo:
                repo.add("data/x")
                repo.push()
            _git("add", ".")
            _git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", str(number))
            _git("tag", f"v{number}")
    shutil.rmtree(folder / "data" / "x")
    shutil.rmtree(folder / ".dvc" / "cache")
    return place


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True)


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


def test_an_object_that_the_remote_lacks_is_named(project: Path) -> None:
    shutil.rmtree(project.parent / "remote")
    with pytest.raises(StoreError, match=r"dvc:///data/x.*nothing there"):
        open_dvc_store("data/x")
