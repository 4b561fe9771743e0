"""What a withdrawal writes: its plan, the lists without the person, and a receipt without names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from featbank.cli import main
from featbank.corpora.forgotten import Forgotten, read_forgotten
from featbank.errors import ConfigError, FeatbankError
from featbank.tokenizers.sample import read_pins, write_pins
from featbank.withdrawal.plan import (
    PLAN,
    CutRevision,
    Deletion,
    NotReached,
    WithdrawalPlan,
    stopped_plan,
)
from featbank.withdrawal.receipt import HiddenNames, receipt_of, write_receipt
from featbank.withdrawal.redaction import (
    is_scan_memory,
    joined_marks,
    redact_pins,
    redact_scans,
    refuse_empty,
    write_forgotten,
)

PLANNED = WithdrawalPlan(
    begun="2026-01-02T03:04:05Z",
    ids=("anna/1", "anna/2"),
    unknown=(),
    audio={"c": ("anna/1.wav", "anna/2.wav")},
    salt="salt",
    marks=("0" * 64,),
    deletions=(
        Deletion(place="cache", digest="a" * 32, kind="shard", output="data/x"),
        Deletion(place="remote team", digest="a" * 32, kind="shard", output="data/x"),
    ),
    work_files=(".featbank/work/x.h5",),
    pins=("conf/sample/c/c.txt",),
    remade=("data/x",),
    codebooks=("data/codebooks/<c>/x.safetensors",),
    old_codebooks=(),
    refit=False,
    cut=(CutRevision(commit="b" * 40, names=("v1",)),),
    yours=("corpora/c/anna/1.wav",),
    unreached=(NotReached(what="clones", why="nobody knows them"),),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_a_plan_that_was_stopped_is_read_as_it_was_written() -> None:
    assert stopped_plan() is None
    PLANNED.save()
    assert stopped_plan() == PLANNED
    PLAN.write_text("{}")
    with pytest.raises(FeatbankError, match="remove it and type the withdrawal again"):
        stopped_plan()


def test_pinned_ids_lose_the_person_once_and_say_so(tmp_path: Path) -> None:
    path = tmp_path / "demo" / "c.txt"
    write_pins(path, ["anna/1", "bert/1"], how="2 utterances")
    for _ in range(2):
        redact_pins(path, {"anna/1"})
        assert path.read_text() == "# 2 utterances; 1 withdrawn since\nbert/1\n"
    assert read_pins(path) == ["bert/1"]
    refuse_empty([path], {"anna/1"})
    with pytest.raises(ConfigError, match="expected some of others, got none"):
        refuse_empty([path], {"bert/1"})


def test_what_scans_remember_of_a_person_goes(tmp_path: Path) -> None:
    path = tmp_path / "scans" / "c" / "scans"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"anna/1.wav\tx\nbert/anna/1.wav\ty\n")
    assert is_scan_memory(path)
    assert not is_scan_memory(tmp_path / "work" / "c" / "scans")
    redact_scans(path, ["anna/1.wav"])
    assert path.read_bytes() == b"bert/anna/1.wav\ty\n"


def test_marks_are_read_as_they_were_written(tmp_path: Path) -> None:
    forgotten = Forgotten(salt="s", marks=frozenset(["1" * 64, "0" * 64]))
    write_forgotten(tmp_path / "f.json", forgotten)
    assert read_forgotten(tmp_path / "f.json") == forgotten


def test_marks_of_two_salts_are_never_one_list() -> None:
    ours, theirs = (Forgotten(salt=salt, marks=frozenset([salt * 64])) for salt in "ab")
    assert joined_marks(Forgotten(), ours) == ours
    assert joined_marks(ours, Forgotten(salt="b")) == ours
    assert joined_marks(Forgotten(), Forgotten(salt="b")).salt == "b"
    with pytest.raises(ConfigError, match="expected one salt for all, got two"):
        joined_marks(ours, theirs)


def test_a_receipt_holds_what_went_and_no_name(tmp_path: Path) -> None:
    receipt = receipt_of(PLANNED, finished="2026-01-02T03:05:00Z", unreached=PLANNED.unreached)
    folder = write_receipt(receipt, tmp_path)
    assert json.loads((folder / "receipt.json").read_text()) == receipt
    assert receipt["deleted"] == {"cache": ["a" * 32], "remote team": ["a" * 32]}
    page = (folder / "receipt.html").read_text()
    for text in (json.dumps(receipt), page):
        assert "anna" not in text
        assert "b" * 40 in text
    assert "data/codebooks/&lt;c&gt;/x.safetensors: kept" in page


def test_what_is_said_of_files_names_nobody() -> None:
    hide = HiddenNames(["ann/1", "ann", "anna", "a.c", "17"])
    assert hide("x/ann/1.npz of anna: 17, abc, a.c") == "x/(...).npz of (...): 17, abc, a.c"
    assert HiddenNames([])("anna") == "anna"


def test_a_plan_without_anything_to_do_has_no_work() -> None:
    assert PLANNED.has_work
    empty = replace(PLANNED, marks=(), deletions=(), work_files=(), pins=(), remade=())
    assert not empty.has_work


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [([], 2, "got nobody"), ([""], 2, "got an empty name"), (["--list", "no.txt"], 1, "no.txt")],
)
def test_nobody_is_no_one_to_forget(
    typed: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forget", *typed]) == status
    assert said in capsys.readouterr().err
