"""A plan of a withdrawal takes all that is the person's, and nothing of whom it only looks like."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from dvc.repo import Repo

from featbank.base.manifest import Utterance, write_manifest
from featbank.base.sought import Sought, Traces
from featbank.pipeline.git_history import GitHistory
from featbank.pipeline.held_places import LocalPlace
from featbank.pipeline.holdings import Holding
from featbank.pipeline.scanning import Scan
from featbank.pipeline.withdrawing import deletable


def _scanned(folder: Path, sought: Sought) -> tuple[Scan, Mapping[str, list[str]]]:
    missed: dict[str, list[str]] = {}
    scan = Scan(Traces(sought), lambda place, why: missed.setdefault(place, []).append(why))
    files = {path.name: str(path) for path in folder.iterdir()}
    scan.run([LocalPlace("cache", {})], [LocalPlace("workspace", files)], [])
    return scan, missed


def _row(utterance_id: str, audio: str, **more: str) -> Utterance:
    return Utterance(
        id=utterance_id,
        audio=f"{utterance_id}.wav",
        audio_digest=audio,
        sample_rate=16000,
        num_samples=9,
        **more,
    )


def test_the_same_audio_is_found_in_a_manifest_of_another_corpus(tmp_path: Path) -> None:
    write_manifest(tmp_path / "a.jsonl", [_row("x-9", "md5:1"), _row("x-8", "md5:2")])
    write_manifest(tmp_path / "b.jsonl", [_row("u-1", "md5:1", speaker="bo")])
    bo = frozenset(["bo"])
    scan, missed = _scanned(tmp_path, Sought(speakers=bo, same_audio=True))
    assert {one for content in scan.contents.values() for one in content.ids} == {"u-1", "x-9"}
    assert missed == {}
    scan, _ = _scanned(tmp_path, Sought(speakers=bo))
    assert {name for _, name in scan.contents} == {"b.jsonl"}


def test_packed_and_wide_texts_are_read_and_what_is_not_is_known(tmp_path: Path) -> None:
    text = '{"id": "bo-1"}\n'
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "packed.tar.gz").write_bytes(gzip.compress(b"bo-1\0\0"))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(text.encode() * 2)[:-9])
    for name in ("utf-16", "utf-16-le", "utf-16-be"):
        mark = "" if name == "utf-16" else "\ufeff"
        (tmp_path / f"{name}.tsv").write_bytes(f"{mark}path\tid\nx\tbo-1\n".encode(name))
    (tmp_path / "numbers.bin").write_bytes(b"bo-1\0")
    scan, missed = _scanned(tmp_path, Sought(ids=frozenset(["bo-1"])))
    held = {"packed.jsonl.gz", "utf-16.tsv", "utf-16-le.tsv", "utf-16-be.tsv"}
    assert {name for _, name in scan.contents} == held
    assert scan.unread == {("workspace", "packed.tar.gz"), ("workspace", "numbers.bin")}
    assert "cut.gz" in missed["workspace"][0]


def _holding(digest: str, *revisions: str, kind: str = "report", is_sure: bool = False) -> Holding:
    return Holding(
        place="cache", path=digest, digest=digest, kind=kind, revisions=revisions, is_sure=is_sure
    )


def test_an_object_that_may_name_them_goes_only_where_each_revision_holds_them() -> None:
    found = [
        _holding("shard", "v1", "v2", kind="shard", is_sure=True),
        _holding("theirs", "v1"),
        _holding("of both", "v2", "v3"),
        _holding("of others", "v3"),
        _holding("of nobody"),
    ]
    going, kept = deletable(found)
    assert [one.digest for one in going] == ["shard", "theirs"]
    assert [one.digest for one in kept] == ["of both", "of others", "of nobody"]


def test_a_stash_is_a_revision_with_its_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")
    _git("init", "-q")
    Repo.init().close()
    _git("commit", "-qam", "first")
    for number in range(2):
        Path(f"new{number}.txt").write_text(f"bo-{number}")
        _git("stash", "-q", "--include-untracked")
    with Repo() as repo:
        history = GitHistory(repo)
        names = {path for path, _ in history.blobs()}
    assert {"new0.txt", "new1.txt"} <= names
    assert {name for said in history.names.values() for name in said} >= {"stash@{0}", "stash@{1}"}


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True)
