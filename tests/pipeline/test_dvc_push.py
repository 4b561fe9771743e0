"""Stores that go to DVC's remote as they are made: nothing is lost, and nothing is made twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import traceback
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from featbank.engine.driver import Published
from featbank.engine.extract import feature_job, make_features
from featbank.engine.pushing import push_features
from featbank.engine.run import Reuse
from featbank.errors import ConfigError, StoreError
from featbank.pipeline import dvc_push
from featbank.pipeline.dvc_push import dvc_shelf
from featbank.pipeline.dvc_remote import RemoteObjects, file_md5
from featbank.pipeline.dvc_store import open_dvc_store
from tests.extracting import SMALL_SHARDS, demo_run, files, prepare_corpus
from tests.servers import Bucket

pytestmark = [
    # of a library that DVC adds with
    pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

POINTER = Path("pushed/demo/fbank.dvc")
OUT = Path("data/features/demo/fbank")


@pytest.fixture
def project(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of DVC beside the corpus, this process in it; its remote is a folder."""
    assert corpus.is_dir()
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    _git("init", "-q")
    Repo.init().close()
    _set_remote(str(tmp_path / "remote"))
    return folder


@pytest.fixture(scope="module")
def made(demo_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run leaves that does not push."""
    root = Path(shutil.copytree(demo_corpus, tmp_path_factory.mktemp("made") / "corpus"))
    prepare_corpus(root)
    make_features(feature_job(demo_run(root, storage=SMALL_SHARDS), root.parent / "out"), Reuse())
    return files(root.parent / "out")


def _git(*arguments: str) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *author, *arguments], check=True)


def _set_remote(url: str) -> None:
    with Repo() as repo, repo.config.edit() as config:
        config["core"]["remote"] = "storage"
        config["remote"] = {"storage": {"url": url}}


def _push(project: Path, remote: str | None = None, **reuse: Any) -> Published:
    run = demo_run(project.parent / "corpus", storage=SMALL_SHARDS, max_failures=1)
    with dvc_shelf(POINTER, remote) as shelf:
        return push_features(feature_job(run, OUT), Reuse(**reuse), shelf)


def _pulled(project: Path, to: str = "clone") -> dict[str, bytes]:
    """Commit the .dvc file, and pull what it says in a clone."""
    _git("add", str(POINTER), f"{POINTER.parent}/.gitignore", ".dvc/config")
    _git("commit", "-qm", "Push", "--allow-empty")
    clone = project.parent / to
    _git("clone", "-q", ".", str(clone))
    with chdir(clone), Repo() as repo:
        repo.pull([str(POINTER)])
    return files(clone / POINTER.with_suffix(""))


def _shards(project: Path) -> list[str]:
    found = os.walk(project.parent / "work")  # in which a run adds and removes folders meanwhile
    return [name for _, _, names in found for name in names if name.endswith(".h5")]


def test_what_is_pushed_pulls_back_as_a_run_leaves_it(
    project: Path, made: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, send = 0, RemoteObjects.send

    def watched(self: RemoteObjects, path: Path, digest: str, num_bytes: int) -> None:
        nonlocal most
        most = max(most, len(_shards(project)))
        send(self, path, digest, num_bytes)

    monkeypatch.setattr(RemoteObjects, "send", watched)
    assert _push(project).tally.num_computed == 38
    assert 0 < most < sum(name.endswith(".h5") for name in made) - 5
    assert not _shards(project)
    assert not OUT.exists()
    assert _pulled(project) == made
    _git("check-ignore", "-q", str(POINTER.with_suffix("")))

    monkeypatch.setenv("FEATBANK_CACHE", str(tmp_path / "cache"))
    place = POINTER.with_suffix("") / "fbank" / "train"
    assert len(list(open_dvc_store(str(place)).ids)) == 24

    pointer = POINTER.read_bytes()
    again = _push(project).tally
    assert (again.num_computed, again.num_kept) == (0, 38)
    assert POINTER.read_bytes() == pointer
    assert not _shards(project)

    pulled = tmp_path / "clone" / POINTER.with_suffix("")
    run = demo_run(tmp_path / "corpus", storage=SMALL_SHARDS, work=tmp_path / "other")
    taken = make_features(feature_job(run, OUT), Reuse(previous=[pulled])).tally
    assert (taken.num_computed, taken.num_kept) == (0, 38)
    assert files(OUT) == made
    with Repo() as repo:
        repo.add(str(OUT))
    stated = [yaml.safe_load(path.read_text()) for path in (POINTER, OUT.with_suffix(".dvc"))]
    assert stated[0] == stated[1]

    for path in _objects_of(tmp_path / "remote"):  # a run with shards of its own pushes them, too
        path.unlink()
    assert _push(project, previous=[pulled]).tally.num_computed == 0
    assert _pulled(project, "third") == made


def _objects_of(remote: Path) -> list[Path]:
    return [path for path in (remote / "files" / "md5").rglob("*") if path.is_file()]


def _die_at(number: int) -> None:
    """Have this process killed at the so-manieth step: begin or end of an upload, or a note."""
    steps = iter(range(number))

    def step(name: str, kind: Any) -> None:
        real = getattr(kind, name)

        def stepped(*arguments: Any) -> None:
            for _ in range(2):
                if next(steps, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                if _ == 0:
                    real(*arguments)

        setattr(kind, name, stepped)

    step("send", RemoteObjects)
    step("write_atomic", dvc_push)
    step("write_pointer", dvc_push)


@pytest.mark.parametrize("number", [1, 33, 94, 97])
def test_a_run_that_is_killed_goes_on_behind_what_it_has_pushed(
    number: int, project: Path, made: dict[str, bytes]
) -> None:
    child = os.fork()
    if not child:
        try:
            _die_at(number)
            _push(project)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    finished = list((project.parent / "work").rglob("results/*.json"))
    tally = _push(project).tally
    assert tally.num_kept + tally.num_computed == 38
    assert tally.num_shards_kept == len(finished)
    assert not _shards(project)
    assert _pulled(project) == made
    objects = [path for path in _objects_of(project.parent / "remote") if len(path.stem) == 30]
    assert len(objects) == len(set(made.values())) + 1  # nothing twice
    for path in objects:  # and no part of anything
        assert file_md5(path) == path.parent.name + path.stem


def test_a_failure_is_tried_again_and_a_row_more_computed_and_no_other(
    project: Path, made: dict[str, bytes]
) -> None:
    root = project.parent / "corpus"
    table = root / "transcripts.tsv"
    header, *rows = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join([header, *rows[:3], *rows[4:]]), encoding="utf-8")
    prepare_corpus(root)
    missing = next(path for path in sorted(root.rglob("*.flac")) if path.stem in rows[0])
    data = missing.read_bytes()
    missing.unlink()
    first = _push(project)
    assert sum(header.num_failures for header in first.headers) == 1
    again = _push(project)
    assert again.tally.num_computed == 0
    assert sum(header.num_failures for header in again.headers) == 1
    missing.write_bytes(data)
    table.write_text("".join([header, *rows]), encoding="utf-8")
    prepare_corpus(root)
    whole = _push(project)
    assert whole.tally.num_computed == 2
    assert not _shards(project)
    assert _pulled(project) == made


def test_a_remote_that_fails_or_forgets_ends_no_more_than_the_run(
    project: Path, made: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("featbank.files.remote.faults._WAITS_S", ())
    send = RemoteObjects.send

    def breaks(self: RemoteObjects, path: Path, digest: str, num_bytes: int) -> None:
        if len(_objects_of(tmp_path / "remote")) >= 5:
            (tmp_path / "remote").rename(tmp_path / "away")
            (tmp_path / "remote").write_text("a file where the folder was")
        send(self, path, digest, num_bytes)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteObjects, "send", breaks)
        patch.setattr(dvc_push, "_AT_ONCE", 1)
        with pytest.raises(StoreError, match=r"an object to be taken.*nothing is lost"):
            _push(project)
    with pytest.raises(StoreError, match="nothing is lost"):
        _push(project)
    (tmp_path / "remote").unlink()
    (tmp_path / "away").rename(tmp_path / "remote")
    num_pushed = len(list((tmp_path / "work").rglob("*.pushed")))
    assert num_pushed == 5
    caplog.clear()
    _objects_of(tmp_path / "remote")[0].unlink()
    next((tmp_path / "work").rglob("*.pushed")).write_text("no note")
    tally = _push(project).tally
    assert "pushed shards are in" in caplog.text or "is of no use" in caplog.text
    assert 0 < tally.num_computed < 38
    assert _pulled(project) == made


def test_a_bucket_is_pushed_to(
    project: Path, bucket: Bucket, made: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featbank.files.remote.faults._WAITS_S", ())
    _set_remote(f"{bucket.url}-that-is-none/x")
    with pytest.raises(StoreError, match="an object to be taken"):
        _push(project)
    _set_remote(f"{bucket.url}/team")
    assert _push(project, "storage").tally.num_kept > 0
    assert not _shards(project)
    assert _pulled(project) == made


def test_what_cannot_be_pushed_is_told_before_anything_is_done(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="push_remote=NAME chooses one"), dvc_shelf(POINTER, "x"):
        pass
    (project / ".gitignore").write_text("/pushed/\n")
    with pytest.raises(ConfigError, match="git does not ignore"), dvc_shelf(POINTER, None):
        pass
    (project / ".gitignore").unlink()
    (project / "dvc.yaml").write_text("stages: {x: {cmd: x, outs: [pushed/demo]}}")
    with pytest.raises(ConfigError, match="an output of x"), dvc_shelf(POINTER, None):
        pass
    monkeypatch.setenv("DVC_STAGE", "extract@demo-fbank")
    with pytest.raises(ConfigError, match="under dvc repro"), dvc_shelf(POINTER, None):
        pass
