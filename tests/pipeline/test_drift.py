"""`validate` with `against=`: another version out of a folder, or out of DVC with no checkout."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from dvc.repo import Repo

from featbank.base.manifest import Utterance, write_manifest
from featbank.errors import ConfigError, StoreError
from featbank.pipeline.older_version import read_version
from featbank.pipeline.sections import Paths
from featbank.validation.result import (
    CheckResult,
    LengthHistogram,
    StoreCheck,
    read_check,
    write_check,
)
from tests.pipeline.conftest import Project

CHECK = CheckResult(
    name="features/fbank",
    stores=(StoreCheck(name="fbank", split="train", mean=1.0, std=2.0),),
    lengths=LengthHistogram(bin_s=0.1, counts={"train": (0, 1)}),
)


def _utterance(name: str) -> Utterance:
    return Utterance(
        id=name, audio=f"{name}.flac", audio_digest="md5:0", sample_rate=8000, num_samples=8000
    )


def _write_version(folder: Path, ids: list[str], mean: float) -> None:
    write_manifest(folder / "manifests/demo/train.jsonl", map(_utterance, ids))
    store = replace(CHECK.stores[0], mean=mean)
    write_check(replace(CHECK, stores=(store,)), folder / "checks/demo/features/fbank.json")


def _read(against: str) -> tuple[int, dict[str, float | None]]:
    """The utterances and the means of a version; its files are gone afterwards."""
    root = Path("data")
    paths = Paths(
        root=root,
        manifests=root / "manifests/demo",
        checks=root / "checks/demo",
        stability=root / "stability/demo",
        report=Path("reports/demo"),
    )
    names = ["features/fbank", "features/mfcc"]
    work = Path("work")
    found = read_version(against, paths, corpus="demo", names=names, work=work)
    assert not work.exists() or list(work.iterdir()) == []
    means = {name: check.stores[0].mean for name, check in found.checks.items()}
    return len(found.profiles["train"].durations_s), means


# of a library that DVC adds with
@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")
def test_a_revision_is_read_out_of_the_cache_or_the_remote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "project")
    project.path.mkdir()
    monkeypatch.chdir(project.path)
    project.run("git init -q -b main")
    Repo.init().close()
    with Repo() as repo, repo.config.edit() as config:
        config["core"]["remote"] = "storage"
        config["remote"] = {"storage": {"url": str(tmp_path / "remote")}}
    for number, ids in enumerate((["a"], ["a", "b"]), start=1):
        _write_version(Path("data"), ids, float(number))
        with Repo() as repo:
            repo.add(["data/manifests/demo", "data/checks/demo/features/fbank.json"])
            repo.push()
        project.commit(str(number))
        project.run(f"git tag v{number}")
    assert _read("v1") == (1, {"features/fbank": 1.0})
    assert _read("HEAD") == (2, {"features/fbank": 2.0})
    shutil.rmtree(".dvc/cache")
    shutil.rmtree("data")
    assert _read("v1") == (1, {"features/fbank": 1.0})
    _write_version(Path("elsewhere"), ["a", "b", "c"], 3.0)
    assert _read("elsewhere") == (3, {"features/fbank": 3.0})
    shutil.rmtree(tmp_path / "remote")
    with pytest.raises(StoreError, match="data/manifests/demo of v2"):
        _read("v2")
    with pytest.raises(StoreError, match="revision v9: expected a commit, tag or branch"):
        _read("v9")
    with pytest.raises(ConfigError, match=r"a folder as data is, with manifests/demo, got"):
        _read(".dvc")
    project.run("git rm -q data/manifests/demo.dvc")
    project.commit("Forget")
    with pytest.raises(ConfigError, match="tracks data/manifests/demo, got one without"):
        _read("main")


@pytest.mark.slow
def test_validate_finds_what_drifted_as_typed(own_reproduced: Project) -> None:
    project, command = own_reproduced, "python stages/validate.py only=features/mfcc"
    told = project.run(f"{command} against=HEAD")
    assert "train: 24 utterances, was 24; 24 are in both" in told
    assert "demo against HEAD: 0 of 28 measures drifted" in told

    for kind in ("manifests", "checks"):
        shutil.copytree(project.path / "data" / kind, project.path / "older" / kind)
    path = project.path / "older/checks/demo/features/mfcc.json"
    check = read_check(path)
    louder = [replace(one, mean=(one.mean or 0) + 100, dimensions=None) for one in check.stores]
    write_check(replace(check, stores=tuple(louder)), path)
    told = project.run(f"{command} against=older", status=1)
    assert "demo against older: 3 of 28 measures drifted" in told
    assert "ValidationError: demo drifted from older in 3 of 28 measures" in told
    told = project.run(f"{command} against=older strict=false drift.means=1000")
    assert "0 of 28 measures drifted" in told
    written = json.loads((project.path / ".featbank/drift/demo.json").read_text())
    assert (written["against"], written["findings"]) == ("older", [])
    assert (project.path / "data/checks/demo/features/mfcc.json").read_bytes() != path.read_bytes()
    assert project.run("git status --short") == "?? older/\n"
