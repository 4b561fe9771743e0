"""Single objects are deleted from DVC's places, and never what the workspace names."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from dvc.repo import Repo

from featbank.errors import ConfigError, StoreError
from featbank.pipeline.dvc_deletion import delete_objects, refuse_added, without_named
from featbank.pipeline.dvc_remote import file_md5
from featbank.pipeline.placed_objects import PlacedObjects
from featbank.withdrawal.plan import Deletion

# of a library that DVC adds with
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose folder `x` of two files is in the cache and in a remote."""
    folder = tmp_path / "project"
    (folder / "x").mkdir(parents=True)
    monkeypatch.chdir(folder)
    Repo.init(no_scm=True).close()
    for name in "ab":
        (folder / "x" / name).write_text(name)
    with Repo() as repo, repo.config.edit() as config:
        config["core"]["remote"] = "team"
        config["remote"] = {"team": {"url": str(tmp_path / "remote")}}
    with Repo() as repo:
        repo.add("x")
        repo.push()
    return folder


def _deletions(path: Path, *, is_current: bool = True, is_sure: bool = True) -> list[Deletion]:
    return [
        Deletion(
            place=place,
            digest=file_md5(path),
            kind="text",
            output="x",
            is_current=is_current,
            is_sure=is_sure,
        )
        for place in ("cache", "remote team")
    ]


def _objects(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("files/md5/*/*")}


def test_what_the_workspace_names_is_refused(project: Path) -> None:
    doomed = _deletions(project / "x" / "a")
    for refuse in (refuse_added, without_named):
        with pytest.raises(ConfigError, match=r"hold the person still: x:.*dvc add"):
            refuse(doomed)
    (project / "x" / "a").unlink()
    old = _deletions(project / "x" / "b", is_current=False)
    refuse_added(old)  # an older version of what was added held the person
    with Repo() as repo:
        repo.add("x")
    assert without_named(doomed) == doomed


def test_deletion_takes_what_is_named_from_every_place_and_may_be_done_twice(
    project: Path, tmp_path: Path
) -> None:
    places = {"cache": project / ".dvc" / "cache", "remote": tmp_path / "remote"}
    before = {name: _objects(place) for name, place in places.items()}
    doomed = _deletions(project / "x" / "a")
    for _ in range(2):
        assert delete_objects(doomed) == []
    for name, place in places.items():
        assert before[name] - _objects(place) == {doomed[0].digest[2:]}


def test_an_object_that_stays_is_told_and_the_others_go(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featbank.files.remote.faults._WAITS_S", ())
    digest = file_md5(project / "x" / "a")
    place = tmp_path / "remote/files/md5" / digest[:2] / digest[2:]
    place.unlink()
    place.parent.rmdir()
    place.parent.touch()  # below which nothing can be asked for
    doomed = _deletions(project / "x" / "a") + _deletions(project / "x" / "b")
    with pytest.raises(StoreError, match=r"1 objects are not deleted.*type the same again"):
        delete_objects(doomed)
    assert not (project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).exists()


def test_what_may_be_anything_stays_where_the_workspace_names_it(project: Path) -> None:
    unsure = _deletions(project / "x" / "a", is_sure=False)
    refuse_added(unsure)
    gone = [replace(unsure[0], digest="0" * 32)]
    assert without_named([*unsure, *gone]) == gone


def test_a_remote_that_is_gone_is_told_and_the_other_places_go(project: Path) -> None:
    digest = file_md5(project / "x" / "a")
    legacy = project / ".dvc/cache" / digest[:2] / digest[2:]  # as DVC 2 has it
    legacy.parent.mkdir(parents=True)
    shutil.copy(project / "x" / "a", legacy)
    doomed = _deletions(project / "x" / "a")
    gone = replace(doomed[0], place="remote gone")
    with pytest.raises(StoreError, match=r"1 objects are not deleted.*gone for good, remove"):
        delete_objects([gone, *doomed])
    assert not legacy.exists()
    assert digest[2:] not in _objects(project / ".dvc" / "cache") | _objects(project / "../remote")


def test_an_object_is_had_of_the_remote_that_gives_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featbank.files.remote.faults._WAITS_S", ())
    digest = file_md5(project / "x" / "a")
    shutil.copytree(tmp_path / "remote", tmp_path / "other")
    damaged = tmp_path / "remote/files/md5" / digest[:2] / digest[2:]
    damaged.chmod(0o644)
    damaged.write_text("b")
    (project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink()
    with Repo() as repo, repo.config.edit() as config:
        config["remote"]["other"] = {"url": str(tmp_path / "other")}
        config["remote"]["down"] = {"url": str(tmp_path / "down")}
    with Repo() as repo:
        objects = PlacedObjects(repo, tmp_path / "work")
        assert objects.path(digest).read_text() == "a"
        with pytest.raises(StoreError, match="remote down: expected one that answers still"):
            objects.send([digest], "down")
