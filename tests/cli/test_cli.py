"""The command line: how its commands end, and what never reaches a terminal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.cli import main
from featbank.cli.summary import store_rows
from featbank.cli.validated import validated_stores
from featbank.errors import FeatbankError
from featbank.store import StoreWriter, read_header
from featbank.validation.result import (
    CheckResult,
    LengthHistogram,
    Problem,
    StoreCheck,
    write_check,
)
from tests.waiting import running

pytestmark = pytest.mark.usefixtures("on_terminal")

COMMANDS = ["info", "ls", "verify", "head"]


def write(path: Path, num_rows: int = 5, **options: Any) -> Path:
    settings = {"name": "units", "dtype": "uint8", "shard_bytes": 2000, **options}
    with StoreWriter(path, **settings) as writer:
        for number in range(num_rows):
            writer.write(f"speaker/u{number:04d}", np.full(number % 7, number % 256, np.uint8))
    return path


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("output", [[], ["--json"]])
def test_an_error_is_one_line_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, output: list[str]
) -> None:
    assert main([command, str(tmp_path / "none"), *output]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith(f"StoreError: store {tmp_path / 'none'}: expected a folder with header")


def test_a_message_is_never_wrapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / ("long " * 50)
    assert main(["info", str(folder)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def replace_header(path: Path, **fields: Any) -> Path:
    header = write(path) / "header.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), **fields}))
    return path


def broken_link(path: Path) -> Path:
    path.symlink_to(path.with_name("elsewhere"))
    return path / "dev"


def folder_for_header(path: Path) -> Path:
    (path / "header.json").mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: write(path) / "header.json", "got a file"),
        (lambda path: write(path / "fbank").with_name("mfcc"), "got no folder"),
        (lambda path: path.parent, "got no header.json; run the stage that makes it, or dvc pull"),
        (broken_link, "got a link to nowhere"),
        (folder_for_header, "a folder: "),
        (lambda path: replace_header(path, format="zarr"), "format 'featbank-store', got 'zarr'"),
        (lambda path: replace_header(path, format_version=99), "99; install a newer featbank"),
        (lambda path: replace_header(path, provenance={}, shards=7), "shards: expected list"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_store_is_an_error_that_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, message: str, command: str
) -> None:
    assert main([command, str(make(tmp_path / "s"))]) == 1
    captured = capsys.readouterr()
    if command == "verify" and captured.out:  # it is there, and damaged: one of its findings
        [damage, *_] = captured.out.splitlines()
        assert message in damage
        assert captured.err == ""
        return
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("StoreError: ")
    assert message in line


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_document_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, str(write(tmp_path / "s")), "--json"]) == 0
    captured = capsys.readouterr()
    assert isinstance(json.loads(captured.out), dict)
    assert captured.err == ""


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(tmp_path: Path) -> None:
    arguments = ["ls", str(write(tmp_path / "s", 5000)), "--limit", "0", "--json"]
    with running(
        [sys.executable, "-m", "featbank", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_ids_are_shown_in_whatever_encoding_the_terminal_has(tmp_path: Path, command: str) -> None:
    with StoreWriter(tmp_path / "s", name="units", dtype="uint8") as writer:
        writer.write("日本/語", np.zeros(3, np.uint8))
    shown = subprocess.run(
        [sys.executable, "-m", "featbank", command, str(tmp_path / "s")],
        capture_output=True,
        check=True,
        env=environment(PYTHONIOENCODING="ascii"),
    )
    assert shown.stdout.isascii()
    assert (rb"\u65e5\u672c/\u8a9e" in shown.stdout) == (command in ("ls", "head"))


def test_a_header_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provenance = {"corpus\x1b[2J": "[red]x[/red] :smile: \x1b]0;title\x07", "line\n": "\u202ex"}
    write(tmp_path / "s", provenance=provenance)
    assert main(["info", str(tmp_path / "s")]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    for text in (r"corpus\x1b[2J", r"[red]x[/red] :smile: \x1b]0;title\x07", r"\u202ex"):
        assert text in shown


def test_what_is_no_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["destroy"])
    assert ended.value.code == 2
    assert "invalid choice: 'destroy'" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["-1", "x", "1.5"])
def test_numbers_of_rows_are_from_zero_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ls", str(tmp_path), f"--limit={number}"])
    assert ended.value.code == 2
    assert f"expected a number from 0 on, got '{number}'" in capsys.readouterr().err


def test_the_commands_load_neither_torch_nor_hydra(tmp_path: Path) -> None:
    program = f"""
import sys
from featbank.cli import main
for command in {COMMANDS}:
    assert main([command, sys.argv[1]]) == 0
assert not {{"torch", "hydra", "dvc"}} & sys.modules.keys()
"""
    subprocess.run(
        [sys.executable, "-c", program, str(write(tmp_path / "s"))],
        check=True,
        capture_output=True,
        env=environment(),
    )


def test_a_summary_of_metrics_alone_sums_the_splits_and_says_that_no_store_is_here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    split = {"utterances": 600, "hours": 0.5, "frames": 180_000, "bytes": 2_000_000}
    report, record = tmp_path / "reports" / "demo", tmp_path / ".featbank/runs/features/demo"
    for folder in (report, record):
        folder.mkdir(parents=True)
    metrics = {"features": {"fbank": {"fbank": {"dev": split, "train": split}}}}
    (report / "metrics.json").write_text(json.dumps(metrics))
    (record / "fbank.json").write_text(json.dumps({"audio_s": 3, "seconds": 26}))
    assert main(["summary"]) == 0
    shown = capsys.readouterr().out
    cells = ["data/features/demo/fbank/fbank", "1,200", "1.00", "360,000", "4.0", "0.12", "good"]
    assert " ".join([*cells, "nowhere"]) in " ".join(shown.replace("│", " ").split())
    assert "report: reports/demo/report.html, nowhere" in shown.splitlines()
    assert "nowhere: dvc repro makes it" in shown
    assert main(["summary", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["utterances"], row["where"], row["absent"]) == (1200, "nowhere", ["dev", "train"])


def test_a_summary_goes_by_what_is_here_and_not_by_what_was_validated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data/features/demo/energy/energy")
    for name in ("dev", "train"):
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / name, frame_rate=100.0)
    [unseen] = store_rows(Path("data"))
    assert (unseen.utterances, unseen.frames, unseen.validated) == (10, 20, "no")
    assert (unseen.where, unseen.here, unseen.hours) == ("here", ["dev", "train"], 20 / 360_000)

    header = read_header(folder / "dev")
    split = {
        "utterances": header.num_utterances, "hours": 0.1, "frames": header.num_frames,
        "bytes": header.num_bytes, "problems": 0,
    }  # fmt: skip
    metrics = {"features": {"energy": {"energy": {"dev": split, "train": split}}}}
    Path("reports/demo").mkdir(parents=True)
    Path("reports/demo/metrics.json").write_text(json.dumps(metrics))
    [seen] = store_rows(Path("data"))
    assert (seen.validated, seen.where, seen.hours) == ("good", "here", 0.2)

    shutil.rmtree(folder / "dev")
    [part] = store_rows(Path("data"))
    assert (part.where, part.here, part.absent) == ("nowhere", ["train"], ["dev"])

    write(folder / "dev", num_rows=6, frame_rate=100.0)
    [other] = store_rows(Path("data"))
    assert (other.validated, other.where, other.utterances) == ("another version", "here", 11)

    next((folder / "dev").glob("*.h5")).unlink()
    [broken] = store_rows(Path("data"))
    assert (broken.validated, broken.where) == ("no", "damaged")


def test_a_summary_counts_what_is_wrong_with_all_splits_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problem = Problem(kind="unlike its splits", count=1, examples=("as stated",))
    stores = tuple(
        StoreCheck(name="energy", split=split, num_expected=5, problems=())
        for split in ("train", "dev", "test")
    )
    check = CheckResult(
        name="features/energy",
        stores=stores,
        lengths=LengthHistogram(bin_s=1.0, counts={}),
        problems=(problem,),
    )
    write_check(check, "data/checks/demo/features/energy.json")
    [row] = store_rows(Path("data"))
    found = validated_stores(Path("data"))[Path(row.store)]
    assert sum(one.problems for one in found.values()) == 1


@pytest.mark.parametrize(
    "run", [{"audio_s": 1e300, "seconds": 1e-300}, {"audio_s": -1, "seconds": 1}, {"audio_s": 1}]
)
def test_a_record_of_a_run_without_durations_is_an_error_that_names_it(
    run: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("data/features/demo/energy/energy/dev"), frame_rate=100.0)
    record = Path(".featbank/runs/features/demo/energy.json")
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps(run))
    with pytest.raises(FeatbankError, match=r"energy\.json: expected audio_s and seconds"):
        store_rows(Path("data"))


@pytest.mark.parametrize(
    "text", ["", "[]", "\0", '{"features": 3}', '{"features": {"a": {"b": {"dev": 3}}}}']
)
def test_damaged_metrics_are_an_error_that_names_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports" / "demo").mkdir(parents=True)
    (tmp_path / "reports" / "demo" / "metrics.json").write_text(text)
    assert main(["summary"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "metrics.json: expected " in line


def test_a_summary_of_nothing_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["summary"]) == 1
    assert "a metrics.json a corpus, got none; run dvc repro" in capsys.readouterr().err
