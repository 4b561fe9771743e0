"""All commands of `featbank` alike: help, examples, output for people and programs, mistakes."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from featbank import PROGRAM
from featbank.cli import main
from featbank.cli.command_line import command_parser
from featbank.cli.parsing import FINE, FOUND, MISTYPED, CommandParser
from featbank.errors import ConfigError
from featbank.pipeline.checking import ProjectCheck
from tests.pipeline.conftest import Project

Capture = pytest.CaptureFixture[str]

WIDTH = 80
FBANK, TOKENS, MANIFESTS = (
    f"data/{place}"
    for place in ("features/demo/fbank", "tokens/demo/mfcc-kmeans100", "manifests/demo")
)
TYPED: Mapping[str, str] = {
    "init": "OUT",
    "summary": "",
    "ls": f"{FBANK} --limit 3",
    "info": FBANK,
    "head": f"{FBANK} --frames 2",
    "check": "",
    "verify": FBANK,
    "doctor": "",
    "compare": "",
    "diff": f"{FBANK}/fbank/dev {FBANK}/fbank/test",
    "where": "--speaker june_fr",
    "forget": "--speaker june_fr",
    "export": f"units={TOKENS} --to nanogpt OUT",
    "cmvn": f"{FBANK} OUT --manifests {MANIFESTS} --by corpus",
    "card": f"{FBANK} --manifests {MANIFESTS} --to OUT",
    "croissant": f"{MANIFESTS} OUT",
}
"""What runs each command in the demo's project; it writes OUT, at most."""


def commands() -> Mapping[str, CommandParser]:
    [found] = [
        one for one in command_parser()._actions if isinstance(one, argparse._SubParsersAction)
    ]
    return found.choices


def run(name: str, tmp_path: Path, *more: str) -> int:
    typed = TYPED[name].replace("OUT", str(tmp_path / f"out{len(more)}.json"))
    return main([name, *shlex.split(typed), *more])


@pytest.fixture
def project(reproduced: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(reproduced.path)
    return reproduced


def test_every_command_is_tried_below() -> None:
    assert TYPED.keys() == commands().keys()


@pytest.mark.parametrize("name", commands())
def test_a_command_says_in_a_line_what_it_does_and_has_examples_that_parse(
    name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    command = commands()[name]
    text = command.get_default("text")
    examples = command.get_default("examples")
    assert "\n" not in text
    assert len(f"  {'':<10} {text}") <= WIDTH - 2  # as argparse wraps
    assert len(examples) >= 2
    for example in examples:
        assert command_parser().parse_args([name, *shlex.split(example)]).command == name
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == FINE
    shown = capsys.readouterr().out
    assert "--json" in shown
    assert max(map(len, shown.splitlines())) <= WIDTH
    block = shown.partition("\nexamples:\n")[2].partition("\n\n")[0].replace("\\\n", " ")
    assert [shlex.split(line)[2:] for line in block.splitlines()] == [*map(shlex.split, examples)]


def test_the_help_of_all_names_them_by_what_a_person_wants(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for name, command in commands().items():
        assert f"\n  {name:<10} {command.get_default('text')}\n" in shown
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert "exit statuses:" in shown


@pytest.mark.slow
@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("name", sorted(TYPED.keys() - {"check"}))
def test_in_a_pipe_a_command_prints_one_table_of_tab_separated_values_or_json(
    name: str, tmp_path: Path, capsys: Capture
) -> None:
    statuses = {"diff": {FOUND}, "doctor": {FINE, FOUND}}.get(name, {FINE})
    assert run(name, tmp_path) in statuses
    printed = capsys.readouterr().out
    assert not re.search("[\x1b\u2500-\u257f]", printed)
    header, *rows = printed.splitlines()
    assert all(re.fullmatch("[a-z0-9_,]+", key) for key in header.split("\t"))
    assert {row.count("\t") for row in rows} <= {header.count("\t")}
    assert rows or name == "verify"
    if name == "where":  # which asks all of DVC; its own tests read its JSON
        return
    assert run(name, tmp_path, "--json") in statuses
    found = json.loads(capsys.readouterr().out)
    if name in ("summary", "ls"):  # the names are those of JSON
        [entry, *_] = found if name == "summary" else found["utterances"]
        assert header.split("\t") == [*entry]


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_faults_are_a_table_too(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a fault that is found at once, for `check` goes through all of conf/."""
    fault = ConfigError("seed", expected="an integer", got="'x'")
    check = ProjectCheck(faults=[fault])
    monkeypatch.setattr("featbank.pipeline.checking.check_project", lambda **_: check)
    assert main(["check"]) == FOUND
    assert capsys.readouterr().out == f"error\tmessage\nConfigError\t{fault}\n"
    assert main(["check", "--json"]) == FOUND
    found = {"faults": [{"error": "ConfigError", "message": str(fault)}], "unchecked": []}
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.slow
@pytest.mark.usefixtures("on_terminal", "project")
@pytest.mark.parametrize("name", ["summary", "ls", "info", "head", "compare", "diff"])
def test_on_a_terminal_a_table_is_no_wider_than_it(
    name: str,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    assert run(name, tmp_path) in (FINE, FOUND)
    drawn = [line for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert drawn
    assert max(map(len, drawn)) <= WIDTH


def answered(typed: str, capsys: Capture) -> tuple[Any, str]:
    try:
        status: Any = main(shlex.split(typed))
    except SystemExit as ended:
        status = ended.code
    return status, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "right"),
    [
        ("lss STORE", "ls STORE"),
        ("sumary", "summary"),
        ("ls STORE --limt 3", "ls STORE --limit 3"),
        ("ls STORE --jsn", "ls STORE --json"),
        ("head STORE --frame-s 1", "head STORE --frames 1"),
        ("head STORE allison_en/vm-toenternumbr", "head STORE allison_en/vm-toenternumber"),
        ("ls data/features/demo/fbnk", "ls data/features/demo/fbank"),
        ("compare dmeo", "compare demo"),
        ("cmvn STORE OUT --manifests MANIFESTS --by korpus",
         "cmvn STORE OUT --manifests MANIFESTS --by corpus"),
        ("export STORE --to kaldii OUT", "export STORE --to kaldi OUT"),
        ("export STORE --to webdataset OUT --set shard_m=1",
         "export STORE --to webdataset OUT --set shard_mb=1"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("project")
def test_what_is_mistyped_is_answered_in_a_line_by_what_to_type(
    typed: str, right: str, tmp_path: Path, capsys: Capture
) -> None:
    for name, place in {"STORE": FBANK, "MANIFESTS": MANIFESTS, "OUT": tmp_path / "x"}.items():
        typed, right = (text.replace(name, str(place)) for text in (typed, right))
    status, said = answered(typed, capsys)
    assert status in (FOUND, MISTYPED)
    [line] = said.splitlines()
    [meant] = re.findall(r"did you mean (\S+)\?$", line)
    [wrong] = {*shlex.split(typed)} - {*shlex.split(right)}
    mended = right if "=" in wrong else typed.replace(wrong, meant)
    assert mended == right
    assert answered(mended, capsys)[0] == FINE


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("extract", "it is a stage: python stages/extract.py"),
        ("info", "the following arguments are required: STORE; featbank info --help has examples"),
        ("where", "whom? Give ids, --speaker or --prefix"),
        ("forget", "whom to forget: expected ids, --speaker S or --list FILE, got nobody"),
    ],
)
def test_what_lacks_is_named(typed: str, said: str, capsys: Capture) -> None:
    status, error = answered(typed, capsys)
    assert status == MISTYPED
    assert said in error
    assert len(error.splitlines()) == 1


def test_whoever_types_the_program_alone_sees_all_its_commands(capsys: Capture) -> None:
    assert main([]) == MISTYPED
    said = capsys.readouterr().err
    assert all(f"\n  {name} " in said for name in commands())


def test_the_program_has_one_name(root: Path) -> None:
    """Messages take it from one place, or say it as people type it."""
    assert PROGRAM == "featbank"
    for path in (root / "featbank").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "python -m featbank" not in text or path.name == "__main__.py", path
