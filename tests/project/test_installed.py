"""The package as people install it: a wheel, from a source distribution, with no checkout near."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from featbank.pipeline.checking import check_project
from featbank.pipeline.code import code_digests
from featbank.store import open_store
from tests.conftest import ROOT
from tests.pipeline.conftest import Project


@dataclass(frozen=True)
class Installed:
    """An environment into which a wheel is installed, beside the packages of this one."""

    programs: Path
    packages: Path
    wheel: Path

    def run(self, command: str, folder: Path) -> str:
        """Run a command with this environment's programs alone."""
        path = os.pathsep.join([str(self.programs), os.environ["PATH"]])
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            shlex.split(command), cwd=folder, env={**clean, "PATH": path}, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    out = tmp_path_factory.mktemp("installed")
    environment = out / "environment"
    _run([sys.executable, "-m", "venv", "--without-pip", str(environment)], out)
    python = str(environment / "bin" / "python")
    _run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index",
         str(wheel)],
        out,
    )  # fmt: skip
    [packages] = environment.glob("lib/python3*/site-packages")
    others = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "others.pth").write_text("".join(f"{path}\n" for path in others))
    return Installed(environment / "bin", packages, wheel)


def _documented() -> list[str]:
    """The commands that docs/projects.md begins with."""
    page = (ROOT / "docs/projects.md").read_text(encoding="utf-8")
    mark = "<!-- run by tests/project/test_installed.py -->\n```sh\n"
    return page.partition(mark)[2].partition("```")[0].splitlines()


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


_OWN = """
from featbank.features import Fbank


class Quiet(Fbank):
    version = 1
"""


@pytest.mark.slow
def test_a_wheel_is_all_that_a_project_needs(
    installed: Installed, demo_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    data = {path.relative_to(ROOT) for path in (ROOT / "featbank").rglob("*") if path.is_file()}
    lacking = {path.as_posix() for path in data if path.suffix != ".pyc"} - names
    assert lacking == set()

    audio, project = tmp_path / "audio", Project(tmp_path / "mine")
    for speaker in sorted(path.name for path in demo_corpus.iterdir() if path.is_dir()):
        files = sorted((demo_corpus / speaker).glob("*.*"))[:3]
        (audio / speaker).mkdir(parents=True)
        for file in files:
            shutil.copy2(file, audio / speaker)
    where = installed.run("python -c 'import featbank; print(featbank.__file__)'", tmp_path)
    assert where.startswith(str(installed.packages))
    init, enter, check, repro = _documented()
    assert enter == "cd mine"
    installed.run(init, tmp_path)

    def run(command: str, status: int = 0) -> str:
        # by processes that have torch imported already, and featbank of the wheel to import
        return project.run(command, status=status, PYTHONPATH=str(installed.packages))

    assert "go together" in run(f"python -m {check}")
    assert {"code", "fit@mine-fbank-kmeans100", "report@mine"} <= _ran(run(repro))
    tokens = open_store(project.path / "data/tokens/mine/fbank-kmeans100")
    assert sorted(tokens.ids)[0].startswith(sorted(audio.iterdir())[0].name)
    assert (project.path / "reports/mine/report.html").is_file()
    project.commit("Start")
    assert run("git status --short --untracked-files=all") == ""
    _holds_other_code(installed, project, run)
    _holds_own_code(project, run)
    _draws_pins_once(project, run)

    # a file that comes in is seen behind the link
    shutil.copy2(next(audio.rglob("*.flac")), audio / "one.flac")
    assert "modified:           corpora/mine" in run("dvc status prepare@mine")
    (project.path / "corpora/mine").unlink()
    monkeypatch.chdir(project.path)
    [said] = {str(fault) for fault in check_project().faults if "prepare@mine" in str(fault)}
    assert "ln -s FOLDER corpora/mine" in said


def _holds_other_code(installed: Installed, project: Project, run: Callable[..., str]) -> None:
    """A project's digests are those of a checkout, and follow what is installed."""
    digests = {
        path.relative_to(project.path / "code").as_posix(): path.read_text().strip()
        for path in (project.path / "code").rglob("*")
        if path.is_file()
    }
    assert digests == code_digests(project.path / "conf")
    installed.run("python stages/code.py", project.path)
    assert run("git status --short") == ""
    assert _ran(run("dvc repro")) == {"code"}
    lloyd = installed.packages / "featbank/tokenizers/lloyd.py"
    lloyd.write_text(lloyd.read_text().replace("\n\n\n", "\n\n\nONE = 1\n\n\n", 1))
    assert _ran(run("dvc repro fit@mine-fbank-kmeans100")) == {"code", "fit@mine-fbank-kmeans100"}
    record = project.path / ".featbank.json"
    text = record.read_text()
    record.write_text(re.sub('"version": "[^"]*"', '"version": "0.0.1"', text))
    assert "type featbank init . --upgrade" in run("dvc repro code", 255)
    record.write_text(text)


def _holds_own_code(project: Project, run: Callable[..., str]) -> None:
    """A package of the project's own is tracked as featbank is."""
    package = project.path / "ours"
    package.mkdir()
    (package / "__init__.py").write_text(_OWN)
    project.edit("conf/runtime.yaml", "trusted_modules: []", "trusted_modules: [ours]")
    text = (project.path / "conf/feature/fbank.yaml").read_text()
    text = text.replace("featbank.features.Fbank", "ours.Quiet")
    text = text.replace("name: fbank", "name: quiet", 1)
    (project.path / "conf/feature/quiet.yaml").write_text(text)
    project.edit("params.yaml", "features: [fbank]", "features: [fbank, quiet]")
    run("dvc repro extract@mine-quiet")
    (package / "__init__.py").write_text(f"{_OWN}\nONE = 1\n")
    assert _ran(run("dvc repro extract@mine-quiet")) == {"code", "extract@mine-quiet"}


def _draws_pins_once(project: Project, run: Callable[..., str]) -> None:
    pins = project.path / "conf/sample/mine/mine.txt"
    drawn = pins.read_text()
    assert drawn.count("\n") > 3
    pins.write_text("# lost\n")
    assert "expected those that dvc.lock has" in run("dvc repro sample@mine-fbank", 255)
    assert pins.read_text() == "# lost\n"
    pins.write_text(drawn)
