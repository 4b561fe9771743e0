"""The README's commands and programs, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pipeline.conftest import Project

pytestmark = pytest.mark.slow

MARK = "<!-- run by tests/pipeline/test_readme.py -->"
BLOCK = re.compile(re.escape(MARK) + r"\n```(sh|python)\n(.*?)```", re.DOTALL)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(README) if found == language]


def test_every_marked_block_is_found() -> None:
    assert README.count(MARK) == len(_blocks("sh")) + len(_blocks("python")) == 4


def test_the_commands_of_the_readme_run(own_reproduced: Project) -> None:
    for block in _blocks("sh"):
        for line in block.splitlines():
            own_reproduced.run(line)


@pytest.mark.parametrize("program", _blocks("python"))
def test_the_programs_of_the_readme_run(reproduced: Project, program: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(program)
    printed = reproduced.run(f"python {script}", PYTHONPATH=str(reproduced.path))
    assert re.search(r"\(\d+, 80\)", printed)


def test_the_readme_names_every_feature_and_tokenizer() -> None:
    for group in ("feature", "tokenizer"):
        for path in (ROOT / "conf" / group).glob("*.yaml"):
            assert f"`{path.stem}`" in README or f"={path.stem}`" in README, path.stem


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert {"repro", "test"} <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
