"""A project of its own for each test that runs stages: real git, real DVC, real subprocesses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from tests.servers import bucket, bucket_address  # noqa: F401 - fixtures
from tests.waiting import HANG_S
from tests.warm_python import warm_programs

_AUTHOR = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")


@dataclass(frozen=True)
class Project:
    """A checkout of this repository as it is now, in a temporary folder."""

    path: Path

    def run(self, command: str, *, status: int = 0, **env: str) -> str:
        """Run a command as a person would type it, and return all it printed.

        Without worker processes unless told: to start them takes longer than the demo corpus does.
        `PLAIN_PYTHON` has it started as it is typed, with nothing imported before: see warm_python.
        """
        # this interpreter's folder first: `python` and `dvc` are those of the environment, or
        # processes of their kind that have imported torch already
        folders = [warm_programs(), Path(sys.executable).parent, os.environ["PATH"]]
        path = os.pathsep.join(map(str, folders))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
        done = subprocess.run(  # noqa: S602 - our own commands, as the README prints them
            command,
            shell=True,
            cwd=self.path,
            env={**clean, "PATH": path, "FEATBANK_RUNNER": "inline", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=HANG_S,
        )
        assert done.returncode == status, f"{command}: exit {done.returncode}\n{done.stdout}"
        return done.stdout

    def commit(self, message: str = "Change") -> None:
        self.run(f"git add -A && git {' '.join(_AUTHOR)} commit -qm '{message}' --allow-empty")

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.path / file).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {file}"
        (self.path / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    def choose(self, features: list[str], **groups: dict[str, dict[str, str]]) -> None:
        """Choose these features, and of `tokens` and `tokens_from_audio` what is given.

        Each has a codebook of its own, fitted on the demo corpus.
        """
        path = self.path / "params.yaml"
        chosen = yaml.safe_load(path.read_text(encoding="utf-8"))
        chosen |= {"features": features, "codebooks": {}}
        for suffix in ("", "_from_audio"):
            entries = [
                {"fit_on": "demo", "stored": one["feature"], "codebook": one["tokenizer"], **one}
                for one in groups.get(f"tokens{suffix}", {}).values()
            ]
            chosen[f"samples{suffix}"] = {
                f"demo-{one['stored']}": {"corpus": "demo", **_of(one, "fit_on feature stored")}
                for one in entries
            }
            chosen[f"tokens{suffix}"] = entries
            chosen["codebooks"] |= {
                f"demo-{one['stored']}-{one['codebook']}": _of(
                    one, "fit_on feature stored codebook"
                )
                for one in entries
            }
        path.write_text(yaml.safe_dump(chosen), encoding="utf-8")

    def copy(self, to: Path) -> Project:
        """Copy everything, DVC's cache with it."""
        shutil.copytree(self.path, to, symlinks=True)
        return Project(to)


def _of(entry: dict[str, str], keys: str) -> dict[str, str]:
    return {key: entry[key] for key in keys.split()}


def _checkout(root: Path, to: Path) -> Project:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    project = Project(to)
    project.run("git init -q -b main")
    project.commit("Start")
    return project


def _once(
    tmp_path_factory: pytest.TempPathFactory, root: Path, name: str, make: Callable[[Project], None]
) -> Project:
    """Have one of pytest-xdist's workers make a checkout, for all of them."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    made, done = folder / name, folder / f"{name}.done"
    with FileLock(folder / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(made, ignore_errors=True)  # of a worker that failed
            project = _checkout(root, made)
            # whoever runs something in it later writes nothing, while others copy it
            project.run("python -m compileall -q featbank stages")
            make(project)
            done.touch()
    return Project(made)


@pytest.fixture(scope="session")
def _started(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return _once(tmp_path_factory, root, "started", lambda _: None)


@pytest.fixture
def checkout(_started: Project, tmp_path: Path) -> Project:
    """A fresh checkout in which nothing has run."""
    return _started.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def prepared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout with manifests and no more, shared: tests only read it."""

    def make(project: Project) -> None:
        project.run("python stages/prepare.py")

    return _once(tmp_path_factory, root, "prepared", make)


@pytest.fixture
def own_prepared(prepared: Project, tmp_path: Path) -> Project:
    """A copy of that checkout, for a test that changes things."""
    return prepared.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def _reproduced(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    def make(project: Project) -> None:
        project.run("dvc repro", FEATBANK_RUNNER="local", PLAIN_PYTHON="1")
        project.commit("Reproduce")

    return _once(tmp_path_factory, root, "reproduced", make)


@pytest.fixture
def reproduced(_reproduced: Project) -> Project:
    """A checkout after `dvc repro`, shared: tests only read it."""
    return _reproduced


@pytest.fixture
def own_reproduced(_reproduced: Project, tmp_path: Path) -> Project:
    """A copy of that checkout, for a test that changes things."""
    return _reproduced.copy(tmp_path / "project")


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, to work in, of what a module has `made`: a project beside its remote."""
    folder = Path(shutil.copytree(made, tmp_path / "copy")) / "project"
    config = folder / ".dvc" / "config"
    config.write_text(config.read_text().replace(str(made), str(folder.parent)))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FEATBANK_CACHE", str(tmp_path / "cache"))
    return folder
