"""The commands and programs of the README and the docs, run as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from featbank.store import ENCODINGS
from featbank.store.encoding import Encoding
from featbank.store.format import COMPRESSIONS
from tests.conftest import ROOT
from tests.pipeline.conftest import Project

pytestmark = pytest.mark.slow

MARK = "<!-- run by tests/pipeline/test_readme.py -->"
BLOCK = re.compile(re.escape(MARK) + r"\n```(sh|python)\n(.*?)```", re.DOTALL)
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README.md": README} | {
    f"docs/{path.name}": path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")
}


def _blocks(language: str, pages: Iterable[str] = PAGES) -> list[str]:
    return [
        text for page in pages for found, text in BLOCK.findall(PAGES[page]) if found == language
    ]


def test_every_marked_block_is_found() -> None:
    marks = {page: text.count(MARK) for page, text in PAGES.items()}
    assert marks == {page: len(BLOCK.findall(text)) for page, text in PAGES.items()}
    assert {page: number for page, number in marks.items() if number} == {
        "README.md": 2,
        "docs/command_line.md": 2,
        "docs/licences.md": 1,
        "docs/runners.md": 1,
        "docs/sequences.md": 4,
        "docs/stores.md": 2,
        "docs/training.md": 6,
        "docs/working.md": 3,
    }


def test_the_commands_of_the_readme_run(own_reproduced: Project) -> None:
    for block in _blocks("sh"):
        for line in block.splitlines():
            own_reproduced.run(line, FEATBANK_RUNNER="local")


@pytest.mark.parametrize("program", _blocks("python"))
def test_the_programs_of_the_readme_run(reproduced: Project, program: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(program)
    printed = reproduced.run(f"python {script}", PYTHONPATH=str(reproduced.path))
    assert re.search(r"\d", printed)


def test_every_option_says_what_it_is_in_its_first_line() -> None:
    for path in (ROOT / "conf").glob("*/*.yaml"):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        assert first.startswith("# "), path
        assert len(first.split()) > 3, path


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert {"repro", "test"} <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_the_docs_name_every_plain_dtype_compression_and_command() -> None:
    page = PAGES["docs/stores.md"]
    for name in ENCODINGS:
        base = re.sub(r"^(u?int)\d+$", r"\g<1>8", name)
        is_said_by_its_class = type(ENCODINGS[name]) is not Encoding
        assert f"`{name}`" in page or f"`{base}`" in page or is_said_by_its_class, name
    for name in COMPRESSIONS:
        assert f'"{name}"' in page, name
    for command in ("info", "ls", "head", "verify"):
        assert f"featbank {command} STORE" in page, command


def test_links_lead_somewhere() -> None:
    for page, text in PAGES.items():
        text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"
