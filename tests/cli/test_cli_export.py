"""What `featbank export` takes, and what it says of each mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from featbank.cli import main
from featbank.cli.parsing import FOUND, MISTYPED
from featbank.export import EXPORTS
from featbank.store import StoreWriter

pytestmark = pytest.mark.usefixtures("on_terminal")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with StoreWriter(tmp_path / "dev", name="units", codebook_size=9) as writer:
        for number in range(5):
            writer.write(f"u{number}", np.repeat([1, 2, 3], number))
    return tmp_path / "dev"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_store_is_exported_and_its_size_is_said(
    store: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert run("export", store, "--to", "espnet", out, "--set", "deduplicate=true") == 0
    assert (out / "dev" / "units").read_text().splitlines()[2] == "u2 1 2 3"
    assert capsys.readouterr().out == f"{out}: 5 utterances, 1 files, 39 bytes\n"
    assert run("export", store, "--to", "espnet", out, "--set", "deduplicate=true", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["out"], said["num_utterances"], said["was_there"]) == (str(out), 5, True)


def test_the_help_has_a_line_for_each_format_with_its_options(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        run("export", "--help")
    assert ended.value.code == 0
    lines = capsys.readouterr().out.partition("formats:\n")[2].splitlines()
    for name in EXPORTS.table:
        [line] = [line for line in lines if line.startswith(f"  {name} ")]
        assert len(line) <= 120
    assert any(line.strip() == "--set deduplicate=false" for line in lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "kalid", "out"], "did you mean kaldi?"),
        (["--to", "espnet", "out", "--set", "dedup=true"], "expected deduplicate, got an option"),
        (
            ["--to", "espnet", "out", "--set", "deduplicate=yes"],
            "expected true or false, got 'yes'",
        ),
        (["--to", "kaldi", "out", "--set", "shard_mb=big"], "expected a whole number, got 'big'"),
        (["--to", "espnet", "out", "--set", "deduplicate"], "expected OPTION=VALUE"),
        (["--to", "nemo", "out"], "give --manifests data/manifests/CORPUS"),
        (["--to", "espnet", "out", "--split", "train"], "expected one split 'train'"),
        (["--to", "espnet", "out", "--manifests", "nowhere"], "nowhere"),
        (["--to", "espnet", "out", "--audio-root", "nowhere"], "expected a folder, got none"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_right(
    store: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    status = run("export", store, *arguments)
    error = capsys.readouterr().err
    assert status == (MISTYPED if error.startswith("ConfigError: ") else FOUND)
    assert said in error
    assert error.count("\n") == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["dev"]


def test_other_commands_import_no_format() -> None:
    code = "import sys, featbank.cli; print([one for one in sys.modules if 'export.kaldi' in one])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
