"""Links out of a corpus, and what is hidden in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.base.failures import read_failures
from featbank.base.manifest import read_manifest
from featbank.corpora.base import Corpus
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.layouts.librispeech import LibriSpeechCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import CorpusError

Recorder = Callable[..., Path]
HASH = {"by": "hash", "shares": {}}


def folder(root: Path, **arguments: Any) -> FolderCorpus:
    return FolderCorpus(name="c", root=root, license="", split_rule=HASH, **arguments)


def table(root: Path, text: str, **arguments: Any) -> TableCorpus:
    (root / "t.tsv").write_text(text)
    return TableCorpus(name="c", root=root, license="", split_rule=HASH, table="t.tsv", **arguments)


def ids(corpus: Corpus, tmp_path: Path, **options: Any) -> list[str]:
    out = tmp_path / "manifests"
    prepare(corpus, out, failures_path=tmp_path / "failures.jsonl", **options)
    return [row.id for row in read_manifest(out / "train.jsonl")]


@pytest.fixture
def outside(root: Path, record: Recorder, tmp_path: Path) -> Path:
    """A folder outside of the corpus with a file that a link in the corpus leads to."""
    (tmp_path / "blobs").mkdir()
    record("link.wav").rename(tmp_path / "blobs/0123")
    (root / "link.wav").symlink_to(tmp_path / "blobs/0123")
    return tmp_path / "blobs"


def test_a_link_out_of_the_corpus_is_refused_by_every_reader(root: Path, outside: Path) -> None:
    message = rf"got link.wav, a symbolic link to {outside}/0123; .*corpus.follow_links=true"
    with pytest.raises(CorpusError, match=message):
        folder(root).list_utterances()
    with pytest.raises(CorpusError, match=f"t.tsv:2: .*{message}"):
        table(root, "path\nlink.wav\n").list_utterances()


def test_a_folder_that_leads_out_is_refused_with_all_below_it(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    record("far/x.wav")
    (root / "far").rename(tmp_path / "far")
    (root / "near").symlink_to(tmp_path / "far")
    for corpus in (folder(root), table(root, "path\nnear/x.wav\n")):
        with pytest.raises(CorpusError, match=r"got near(/x.wav)?, a symbolic link to"):
            corpus.list_utterances()


def test_links_are_followed_where_the_corpus_says_so(
    root: Path, record: Recorder, outside: Path, tmp_path: Path
) -> None:
    record("far/x.wav")
    (root / "far").rename(tmp_path / "far")
    (root / "near").symlink_to(tmp_path / "far")
    assert ids(folder(root, follow_links=True), tmp_path) == ["link", "near/x"]
    text = "path\nlink.wav\nnear/x.wav\n"
    assert ids(table(root, text, follow_links=True), tmp_path) == ["link", "near/x"]
    assert outside.is_dir()


def test_a_followed_link_to_another_content_is_scanned_anew(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    for name, num_samples in (("one", 1000), ("two", 1000), ("three", 1000)):
        record(f"{name}.wav", num_samples=num_samples).rename(tmp_path / name)
    digests = set()
    for name in ("one", "two", "three"):
        (root / "x.wav").unlink(missing_ok=True)
        (root / "x.wav").symlink_to(tmp_path / name)
        ids(folder(root, follow_links=True), tmp_path)
        digests.add(read_manifest(tmp_path / "manifests/train.jsonl")[0].audio_digest)
    assert len(digests) == 3


def test_links_into_a_cache_are_taken_without_a_setting(
    root: Path, outside: Path, tmp_path: Path
) -> None:
    asked = []

    def caches() -> list[Path]:
        asked.append(1)
        return [outside]

    assert ids(folder(root), tmp_path, link_roots=caches) == ["link"]
    assert ids(table(root, "path\nlink.wav\n"), tmp_path, link_roots=caches) == ["link"]
    (tmp_path / "other").write_bytes((outside / "0123").read_bytes())
    (root / "more.wav").symlink_to(tmp_path / "other")
    with pytest.raises(CorpusError, match=r"got more.wav, a symbolic link"):
        ids(folder(root), tmp_path, link_roots=caches)
    assert len(asked) == 3  # once a run


def test_a_corpus_without_links_asks_for_no_cache(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    record("x.wav")

    def caches() -> list[Path]:
        raise AssertionError("asked")

    assert ids(folder(root), tmp_path, link_roots=caches) == ["x"]


def test_a_link_inside_the_corpus_is_a_file_and_a_folder_is_found_in_its_own_place(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    record("a/x.wav")
    (root / "y.wav").symlink_to("a/x.wav")
    (root / "b").symlink_to("a")
    assert ids(folder(root), tmp_path) == ["a/x", "y"]
    assert ids(table(root, "path\nb/x.wav\n"), tmp_path) == ["b/x"]


def test_followed_links_that_lead_to_themselves_are_refused(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    record("x.wav")
    (root / "up").symlink_to("..")
    with pytest.raises(CorpusError, match=r"folder up: .*which leads here again"):
        ids(folder(root, follow_links=True), tmp_path)


def test_a_link_to_nothing_is_a_missing_file(root: Path, record: Recorder, tmp_path: Path) -> None:
    record("x.wav")
    (root / "gone.wav").symlink_to("nothing")
    assert ids(folder(root), tmp_path, max_failures=1) == ["x"]


def test_what_is_hidden_is_no_utterance_and_is_counted(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    record("anna/x.wav"), record("anna/.ipynb_checkpoints/x-checkpoint.wav")
    record("__MACOSX/anna/y.wav"), record(".cache/deep/z.wav")
    (root / "anna/._x.wav").write_bytes(b"\0\5\x16\7" + bytes(4092))
    (root / "anna/.notes.txt").touch()
    listing = folder(root).list_utterances()
    assert [row.audio for row in listing.rows] == ["anna/x.wav"]
    assert (listing.num_hidden, listing.unlisted) == (4, [])
    summary = prepare(folder(root), tmp_path / "m", failures_path=tmp_path / "f.jsonl")
    assert (summary["num_hidden"], summary["num_unlisted"]) == (4, 0)
    # what a table names is meant
    assert ids(table(root, "path\n.cache/deep/z.wav\n"), tmp_path) == [".cache/deep/z"]


def test_librispeech_unpacked_on_a_mac_is_read(root: Path, record: Recorder) -> None:
    chapter = "dev-clean/1/2"
    record(f"{chapter}/1-2-0000.flac")
    (root / chapter / "1-2.trans.txt").write_text("1-2-0000 HELLO\n")
    (root / chapter / "._1-2.trans.txt").write_bytes(b"\0\5\x16\7\xff")
    (root / "__MACOSX/dev-clean/1/2").mkdir(parents=True)
    (root / "__MACOSX/dev-clean/1/2/._1-2.trans.txt").write_bytes(b"\0\5\x16\7\xff")
    [row] = LibriSpeechCorpus(name="c", root=root, license="").list_utterances().rows
    assert row.text == "HELLO"


def test_a_path_of_thousands_of_folders_is_a_file_that_is_missing(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    record("x.wav")
    deep = table(root, "path\tid\n" + "b/" * 2000 + "x.wav\tdeep\nx.wav\tx\n")
    assert ids(deep, tmp_path, max_failures=1) == ["x"]
    [failure] = read_failures(tmp_path / "manifests/failures.jsonl")
    assert failure.id == "deep"
    assert failure.kind in ("missing", "bad_name")
