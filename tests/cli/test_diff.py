"""What `featbank diff` prints of two folders, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from featbank.cli import main
from tests.comparison.versions import floats, write

pytestmark = pytest.mark.usefixtures("on_terminal")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """Two versions: the later has three utterances more in one split, and the other as it was."""
    for version, number in (("a", 60), ("b", 63)):
        write(tmp_path / version / "train", floats(number), provenance={"corpus": version})
        write(tmp_path / version / "dev", floats(9, prefix="d"))
    return str(tmp_path / "a"), str(tmp_path / "b")


def test_people_and_programs_are_told_the_same(folders: tuple[str, str], capsys: Capture) -> None:
    assert main(["diff", *folders, "--limit", "1"]) == 1
    shown = capsys.readouterr().out
    assert "different: 1 store; the same: 1" in shown
    for text in ("u0060", "provenance.corpus"):
        assert text in shown
    assert "u0062" not in shown
    assert main(["diff", *folders, "--limit", "0", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["same"] == ["dev"]
    [store] = found["stores"]
    assert store["rows"]["added"] == 3
    assert {change["id"] for change in store["changes"]} == {"u0060", "u0061", "u0062"}
    assert store["moved"] == [{"field": "provenance.corpus", "before": "a", "after": "b"}]


def test_nothing_that_differs_is_0_and_what_cannot_be_read_is_2(
    folders: tuple[str, str], capsys: Capture
) -> None:
    before, after = folders
    assert main(["diff", before, before]) == 0
    (Path(after) / "dev" / "header.json").write_text("{}")
    assert main(["diff", before, after]) == 2
    assert "not read: " in capsys.readouterr().out
    assert main(["diff", before, str(Path(after) / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_is_compared_with_a_url(
    folders: tuple[str, str], capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FEATBANK_CACHE", str(tmp_path / "cache"))
    before, after = folders
    (Path(after) / "train").rename(Path(after) / "moved")
    assert main(["diff", f"{before}/train", f"file://{after}/moved", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["rows"]["added"] for one in found["stores"]] == [3]
    assert main(["diff", f"file://{after}", after]) == 0


def test_a_page_needs_nothing_else_and_runs_nothing(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    for version in ("a", "b"):
        write(tmp_path / version, floats(3), provenance={"x": f"{evil}{version}"})
    page = tmp_path / "page.html"
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--page", str(page)]) == 1
    text = page.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in text
    assert evil not in text
    assert "://" not in text
