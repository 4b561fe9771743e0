"""Corpora that are known by their layout."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featbank.corpora.base import CorpusRow
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.layouts.librispeech import LibriSpeechCorpus
from featbank.corpora.layouts.ljspeech import LJSpeechCorpus
from featbank.errors import ConfigError, CorpusError

Recorder = Callable[..., Path]

RENAMED = "the corpus's definition can name it otherwise: splits: {found: name}"


def test_a_folder_gives_every_audio_file(root: Path, record: Recorder) -> None:
    record("anna/x.wav"), record("ben/x.flac"), record("ben/deep/y.WAV")
    (root / "notes.txt").write_text("no audio")
    listing = FolderCorpus(name="c", root=root, license="", folders=["speaker"]).list_utterances()
    assert [(row.id, row.speaker) for row in listing.rows] == [
        ("anna/x", "anna"), ("ben/deep/y", "ben"), ("ben/x", "ben"),
    ]  # fmt: skip
    assert listing.unlisted == []


def test_a_folder_reports_audio_of_kinds_that_do_not_decode(root: Path, record: Recorder) -> None:
    record("x.wav")
    for name in ("a.mp2", "b.raw", "c.mp4", "d.MP2"):
        (root / name).write_bytes(b"does not decode, but must not be overlooked")
    listing = FolderCorpus(name="c", root=root, license="").list_utterances()
    assert [row.audio for row in listing.rows] == ["x.wav"]
    assert listing.unlisted == ["a.mp2", "b.raw", "c.mp4", "d.MP2"]
    told = FolderCorpus(name="c", root=root, license="", suffixes=[".mp4"]).list_utterances()
    assert [row.audio for row in told.rows] == ["c.mp4"]
    (root / "x.wav").unlink()
    with pytest.raises(CorpusError, match=r"got none, and 4 audio files not taken: a.mp2"):
        FolderCorpus(name="c", root=root, license="").list_utterances()


def test_a_folder_that_cannot_be_listed_ends_the_run(
    root: Path, record: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("a/x.wav"), record("b/y.wav")
    scandir = os.scandir

    def fail(path: str) -> Any:
        if Path(path).name == "b":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(PermissionError, match="Permission denied"):
        FolderCorpus(name="c", root=root, license="").list_utterances()


def test_folders_mean_what_they_are_said_to_mean(root: Path, record: Recorder) -> None:
    record("dev/2024/en/anna/x.wav")
    folders = ["split", "part", "language", "speaker"]
    [row] = FolderCorpus(name="c", root=root, license="", folders=folders).list_utterances().rows
    assert (row.split, row.part, row.language, row.speaker) == ("dev", "2024", "en", "anna")


def test_a_folder_reports_what_its_pattern_leaves_out(root: Path, record: Recorder) -> None:
    record("a/clips/x.wav"), record("a/clips/x.flac"), record("a/other/y.wav")
    listing = FolderCorpus(
        name="c", root=root, license="", glob="clips/*", suffixes=[".wav"]
    ).list_utterances()
    assert [row.audio for row in listing.rows] == ["a/clips/x.wav"]
    assert listing.unlisted == ["a/clips/x.flac", "a/other/y.wav"]


def test_a_folder_that_cannot_be_read_as_told_is_refused(root: Path, record: Recorder) -> None:
    with pytest.raises(CorpusError, match="expected utterances, got none"):
        FolderCorpus(name="c", root=root, license="").list_utterances()
    record("my dev/x.wav"), record("dev/y.wav")
    listing = FolderCorpus(name="c", root=root, license="", folders=["split"]).list_utterances()
    [failure] = listing.failures
    assert (failure.id, failure.audio, failure.kind) == ("my dev/x.wav", "my dev/x.wav", "bad_row")
    assert (failure.error, failure.got) == ("split in my dev/x.wav", "'my dev'; " + RENAMED)
    assert [row.audio for row in listing.rows] == ["dev/y.wav"]
    folders = ["split", "speaker"]
    listing = FolderCorpus(name="c", root=root, license="", folders=folders).list_utterances()
    assert [one.expected for one in listing.failures] == ["folders split/speaker above it"] * 2
    with pytest.raises(ConfigError, match=r"corpus.folders: expected .*, got voice"):
        FolderCorpus(name="c", root=root, license="", folders=["voice"])


def librispeech(root: Path, record: Recorder) -> None:
    for chapter, count in (("train-clean-100/103/1240", 2), ("dev-other/7/8", 1)):
        _, speaker, number = chapter.split("/")
        names = [f"{speaker}-{number}-{index:04d}" for index in range(count)]
        for name in names:
            record(f"{chapter}/{name}.flac")
        lines = "".join(f"{name} TEXT OF {name}\n" for name in names)
        (root / chapter / f"{speaker}-{number}.trans.txt").write_text(lines)
    (root / "README.TXT").write_text("LibriSpeech")


def test_librispeech_is_read_by_its_layout(root: Path, record: Recorder) -> None:
    librispeech(root, record)
    record("dev-other/7/8/7-8-0009.flac")
    listing = LibriSpeechCorpus(name="c", root=root, license="", language="en").list_utterances()
    assert [row.split for row in listing.rows] == [
        "dev-other",
        "train-clean-100",
        "train-clean-100",
    ]
    assert listing.rows[1] == CorpusRow(
        id="train-clean-100/103/1240/103-1240-0000",
        audio="train-clean-100/103/1240/103-1240-0000.flac",
        where="train-clean-100/103/1240/103-1240.trans.txt:1",
        speaker="103",
        language="en",
        text="TEXT OF 103-1240-0000",
        part="train-clean-100",
        split="train-clean-100",
    )
    assert listing.unlisted == ["dev-other/7/8/7-8-0009.flac"]


def test_librispeech_reads_the_subsets_it_is_told(root: Path, record: Recorder) -> None:
    librispeech(root, record)
    corpus = LibriSpeechCorpus(name="c", root=root, license="", subsets=["dev-other"])
    assert [row.id for row in corpus.list_utterances().rows] == ["dev-other/7/8/7-8-0000"]
    corpus = LibriSpeechCorpus(name="c", root=root, license="", subsets=["dev-clean"])
    with pytest.raises(
        CorpusError, match=r"subset dev-clean of .*: expected a folder, got nothing"
    ):
        corpus.list_utterances()


def test_librispeech_refuses_to_read_no_subset(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"corpus.subsets: expected names of .* an empty list"):
        LibriSpeechCorpus(name="c", root=root, license="", subsets=[])


def test_librispeech_refuses_a_named_subset_without_transcripts(
    root: Path, record: Recorder
) -> None:
    librispeech(root, record)
    record("test-clean/1/2/1-2-0000.flac")
    corpus = LibriSpeechCorpus(name="c", root=root, license="", subsets=["dev-other", "test-clean"])
    with pytest.raises(CorpusError, match=r"subset test-clean of .*: expected transcripts in"):
        corpus.list_utterances()
    listing = LibriSpeechCorpus(name="c", root=root, license="").list_utterances()
    assert listing.unlisted == ["test-clean/1/2/1-2-0000.flac"]


def test_a_librispeech_text_has_no_white_space_around_it(root: Path, record: Recorder) -> None:
    record("dev-other/7/8/7-8-0000.flac"), record("dev-other/7/8/7-8-0001.flac")
    record("dev-other/7/8/7-8-0002.flac")
    lines = b"7-8-0000  TWO SPACES \r\n7-8-0001 ONE\r\n\r\n7-8-0002\r\n"
    (root / "dev-other/7/8/7-8.trans.txt").write_bytes(lines)
    listing = LibriSpeechCorpus(name="c", root=root, license="").list_utterances()
    assert [row.text for row in listing.rows] == ["TWO SPACES", "ONE", ""]


def test_subsets_of_librispeech_can_be_one_split(root: Path, record: Recorder) -> None:
    librispeech(root, record)
    (root / "dev-other").rename(root / "train-other-500")
    one = {"train-clean-100": "train", "train-other-500": "train"}
    listing = LibriSpeechCorpus(name="c", root=root, license="", splits=one).list_utterances()
    assert {(row.split, row.part) for row in listing.rows} == {
        ("train", "train-clean-100"), ("train", "train-other-500"),
    }  # fmt: skip


def test_ljspeech_is_read_by_its_layout(root: Path, record: Recorder) -> None:
    record("wavs/LJ001-0001.wav", rate=22050), record("wavs/LJ001-0009.wav", rate=22050)
    (root / "metadata.csv").write_text('LJ001-0001|in 1890 "he|in eighteen ninety "he\n')
    listing = LJSpeechCorpus(name="c", root=root, license="", language="en").list_utterances()
    assert listing.rows == [
        CorpusRow(
            id="wavs/LJ001-0001", audio="wavs/LJ001-0001.wav", where="metadata.csv:1",
            speaker="LJ", language="en", text='in eighteen ninety "he',
        )
    ]  # fmt: skip
    assert listing.unlisted == ["wavs/LJ001-0009.wav"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "LJ001-0001|text\n",
            "metadata.csv:1: expected 3 cells: id | text | normalised text, got 2",
        ),
        ("../../etc/x|a|b\n", "metadata.csv:1: expected a path inside the corpus, got"),
    ],
)
def test_ljspeech_names_a_malformed_row(root: Path, line: str, message: str) -> None:
    (root / "metadata.csv").write_text(f"{line}LJ001-0002|a|b\n")
    listing = LJSpeechCorpus(name="c", root=root, license="").list_utterances()
    [failure] = listing.failures
    assert failure.id == "metadata.csv:1"
    assert message in f"{failure.error}: expected {failure.expected}, got {failure.got}"
    assert [row.where for row in listing.rows] == ["metadata.csv:2"]


def test_an_ljspeech_text_has_no_carriage_return(root: Path, record: Recorder) -> None:
    record("wavs/LJ001-0001.wav")
    (root / "metadata.csv").write_bytes(b"LJ001-0001|a|b\r\n\r\n")
    [row] = LJSpeechCorpus(name="c", root=root, license="").list_utterances().rows
    assert row.text == "b"
