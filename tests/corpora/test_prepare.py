"""A corpus in, manifests out, and nothing lost on the way."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from omegaconf import OmegaConf

from featbank.audio import load_audio
from featbank.base.building import build
from featbank.base.failures import Failure, read_failures
from featbank.base.manifest import MIX_CHANNELS, Utterance, read_manifest
from featbank.base.progress import Advance
from featbank.base.split_names import split_names
from featbank.corpora.base import Corpus
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.corpora.scanning import estimate_duration_s
from featbank.errors import CorpusError, FailureBudgetError
from tests.conftest import SPLITS
from tests.waiting import running

Recorder = Callable[..., Path]
PROJECT = Path(__file__).parents[2]


def table(root: Path, text: str, **arguments: Any) -> TableCorpus:
    (root / "t.tsv").write_text(text)
    splits = {"by": "hash", "shares": {}}
    return TableCorpus(
        name="c", root=root, license="CC0", table="t.tsv", split_rule=splits, **arguments
    )


def run(corpus: Corpus, root: Path, **options: Any) -> Path:
    out = root.parent / "manifests/c"
    prepare(corpus, out, failures_path=root.parent / "failures/c.jsonl", **options)
    return out


def all_rows(out: Path) -> dict[str, Utterance]:
    return {
        row.id: row for split in split_names(out) for row in read_manifest(out / f"{split}.jsonl")
    }


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def failures_of(corpus: Corpus, root: Path) -> dict[str, Failure]:
    out = run(corpus, root, max_failures=100)
    return {failure.id: failure for failure in read_failures(out / "failures.jsonl")}


@pytest.fixture
def demo() -> Corpus:
    config = OmegaConf.to_container(OmegaConf.load(PROJECT / "conf/corpus/demo.yaml"))
    assert isinstance(config, dict)
    corpus = build({**config, "root": PROJECT / config["root"]})
    assert isinstance(corpus, Corpus)
    return corpus


def test_the_demo_corpus_gives_38_utterances_of_145_seconds(demo: Corpus, root: Path) -> None:
    out = run(demo, root)
    rows = all_rows(out)
    assert len(rows) == 38
    assert sum(row.duration_s for row in rows.values()) == pytest.approx(145, abs=0.5)
    assert all(row.audio_digest.startswith("md5:") for row in rows.values())
    summary = json.loads((out / "corpus.json").read_text())
    assert {split: counts["utterances"] for split, counts in summary["splits"].items()} == {
        "train": 24, "dev": 7, "test": 7,
    }  # fmt: skip
    assert summary["num_failures"] == summary["num_unlisted"] == 0
    assert sorted(content(out)) == ["corpus.json", "dev.jsonl", "test.jsonl", "train.jsonl"]


def test_workers_change_no_byte(demo: Corpus, root: Path) -> None:
    one = content(run(demo, root, num_workers=1))
    four = content(run(demo, root, num_workers=4))
    assert one == four


def test_rows_hold_what_the_files_hold(root: Path, record: Recorder) -> None:
    record("a/x.wav", num_samples=12_345, rate=22_050)
    corpus = table(root, "path\tspeaker\ttext\tpart\na/x.wav\tanna\thello\tp1\n", language="en")
    [row] = read_manifest(run(corpus, root) / "train.jsonl")
    assert (row.id, row.audio, row.sample_rate, row.num_samples) == (
        "a/x", "a/x.wav", 22_050, 12_345,
    )  # fmt: skip
    assert (row.speaker, row.language, row.text, row.part) == ("anna", "en", "hello", "p1")
    assert row.audio_digest.startswith("sha256:")


def test_segments_share_one_scan_of_their_file_and_abut(
    root: Path, record: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("x.wav", num_samples=16_000)
    scanned: list[Path] = []

    def scan(path: Path) -> Any:
        scanned.append(path)
        return real(path)

    real = sys.modules["featbank.corpora.scanning"].scan_audio
    monkeypatch.setattr("featbank.corpora.scanning.scan_audio", scan)
    # 1/3 s is no whole number of samples
    text = "path\tstart\tduration\nx.wav\t0\t0.33333\nx.wav\t0.33333\t0.33333\nx.wav\t0.66666\t\n"
    rows = read_manifest(run(table(root, text), root) / "train.jsonl")
    assert len(scanned) == 1
    assert [(row.start_sample, row.num_samples) for row in rows] == [
        (0, 5333), (5333, 5334), (10_667, 5333),
    ]  # fmt: skip
    whole = soundfile.read(root / "x.wav", dtype="float32")[0]
    joined = [
        load_audio(
            root / row.audio,
            sample_rate=row.sample_rate,
            start_sample=row.start_sample,
            num_samples=row.num_samples,
        )
        for row in rows
    ]
    np.testing.assert_array_equal(np.concatenate(joined), whole)


def test_a_segment_past_the_end_of_its_file_is_listed(root: Path, record: Recorder) -> None:
    record("x.wav", num_samples=16_000)
    text = (
        "path\tid\tstart\tduration\n"
        "x.wav\tfits\t0.5\t0.5\nx.wav\tlong\t0.5\t0.6\nx.wav\tlate\t1.0\t\nx.wav\tnone\t0\t0.00001\n"
    )
    failures = failures_of(table(root, text), root)
    assert sorted(failures) == ["late", "long", "none"]
    assert failures["long"].error == "segment 8000:17600 in samples of x.wav"
    assert failures["long"].expected == "a start before and an end by 16000"
    assert failures["long"].got == "17600"
    assert (failures["none"].expected, failures["none"].got) == ("at least one sample", "none")
    assert list(all_rows(root.parent / "manifests/c")) == ["fits"]


def test_a_duration_without_a_start_is_a_claim_and_no_segment(root: Path, record: Recorder) -> None:
    for name, num_samples in (("short", 16_000), ("long", 320_000)):  # 1 s and 20 s
        for case in "abcd":
            record(f"{name}-{case}.wav", num_samples=num_samples)
    text = (
        "path\tduration\n"
        "short-a.wav\t1.09\nshort-b.wav\t0.91\nshort-c.wav\t1.11\nshort-d.wav\t0.89\n"
        "long-a.wav\t20.19\nlong-b.wav\t19.81\nlong-c.wav\t20.21\nlong-d.wav\t19.79\n"
    )
    failures = failures_of(table(root, text), root)
    rows = all_rows(root.parent / "manifests/c")
    assert {name: (row.start_sample, row.num_samples) for name, row in rows.items()} == {
        "short-a": (0, 16_000), "short-b": (0, 16_000),
        "long-a": (0, 320_000), "long-b": (0, 320_000),
    }  # fmt: skip
    assert sorted(failures) == ["long-c", "long-d", "short-c", "short-d"]
    found = failures["long-c"]
    assert found.error == "length of long-c.wav; a segment of a file needs a start in t.tsv:8"
    assert (found.expected, found.got) == ("20.21 s, or up to 0.2 s more or less", "20.000 s")


@pytest.mark.parametrize("order", [1, -1])
def test_splits_that_only_some_rows_name_are_refused(
    root: Path, record: Recorder, order: int
) -> None:
    record("a.wav"), record("b.wav")
    rows = ['{"path": "a.wav", "speaker": "anna", "split": "test"}', '{"path": "b.wav"}'][::order]
    (root / "t.jsonl").write_text("\n".join(rows))
    corpus = TableCorpus(
        name="c", root=root, license="CC0", table="t.jsonl", split_rule={"by": "hash"}
    )
    named, unnamed = (1, 2) if order == 1 else (2, 1)
    with pytest.raises(
        CorpusError,
        match=rf"by every row, or by none, got test in t.jsonl:{named}, none in t.jsonl:{unnamed}",
    ):
        run(corpus, root)


def test_a_file_of_several_channels_needs_to_be_told_which(root: Path, record: Recorder) -> None:
    record("stereo.wav", channels=2)
    record("mono.wav")
    text = "path\nstereo.wav\nmono.wav\n"
    failures = failures_of(table(root, text), root)
    assert failures["stereo"].expected == "1 channel"
    assert failures["stereo"].got == "2"
    assert "corpus.channel=0 or corpus.channel=mix" in failures["stereo"].error
    mixed = all_rows(run(table(root, text, channel="mix"), root))
    assert (mixed["stereo"].channel, mixed["mono"].channel) == (MIX_CHANNELS, 0)
    assert all_rows(run(table(root, text, channel=0), root))["stereo"].channel == 0
    second = failures_of(table(root, text, channel=1), root)
    assert second["mono"].expected == "a channel 1"
    assert second["mono"].got == "1 channels, from 0"


def bad_files(root: Path, record: Recorder) -> Corpus:
    record("good.wav")
    record("cut.wav", num_samples=1000)
    os.truncate(root / "cut.wav", 44 + 600)
    (root / "empty.wav").touch()
    (root / "text.wav").write_text("no audio")
    (root / "folder.wav").mkdir()
    record("silent.wav", num_samples=0)
    soundfile.write(root / "nan.wav", np.array([np.nan, 0.0]), 16000, subtype="FLOAT")
    names = ["good", "cut", "empty", "text", "folder", "silent", "nan", "missing"]
    return table(root, "path\n" + "".join(f"{name}.wav\n" for name in names))


def test_every_bad_file_is_listed_with_expected_and_got(root: Path, record: Recorder) -> None:
    out = run(bad_files(root, record), root, max_failures=7)
    rows = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert all(sorted(row) == ["audio", "error", "expected", "got", "id", "kind"] for row in rows)
    found = {row["id"]: (row["kind"], row["expected"], row["got"]) for row in rows}
    assert list(found) == sorted(found)
    kinds = (
        "FLAC, WAV, Ogg (Opus, Vorbis), MP3, W64, AIFF, CAF, AU, NIST, MP4, AAC, Matroska, WMA, "
        "AMR or G.722"
    )
    assert found == {
        "cut": ("truncated", "2000 bytes of samples", "600"),
        "empty": ("empty", "audio", "an empty file"),
        "folder": ("not_a_file", "a file", "a folder"),
        "missing": ("missing", "a readable file", "No such file or directory"),
        "nan": ("not_finite", "finite samples", "1 NaN or infinite in a block"),
        "silent": ("no_samples", "at least one sample", "none"),
        "text": ("unknown_format", kinds, "a file that begins with b'no a'"),
    }
    assert [row["audio"] for row in rows] == [f"{name}.wav" for name in found]
    assert list(all_rows(out)) == ["good"]
    assert json.loads((out / "corpus.json").read_text())["num_failures"] == 7


def test_past_the_budget_nothing_is_replaced_and_the_whole_list_is_named(
    root: Path, record: Recorder
) -> None:
    record("old.wav")
    out = run(table(root, "path\nold.wav\n"), root)
    before = content(out)
    listed = root.parent / "failures/c.jsonl"
    with pytest.raises(FailureBudgetError, match=r"7 of 8 .*expected at most 6, got 7.*") as caught:
        run(bad_files(root, record), root, max_failures=6)
    assert str(listed) in str(caught.value)
    assert len(read_failures(listed)) == 7
    assert content(out) == before
    run(bad_files_mended(root), root)
    assert not listed.exists()


def bad_files_mended(root: Path) -> Corpus:
    return table(root, "path\ngood.wav\n")


def test_the_default_budget_is_no_failure(root: Path) -> None:
    with pytest.raises(FailureBudgetError, match="expected at most 0, got 1"):
        run(table(root, "path\nmissing.wav\n"), root)
    assert not (root.parent / "manifests/c").exists()


def test_a_repeated_id_is_refused_naming_both_rows(root: Path, record: Recorder) -> None:
    record("x.wav")
    with pytest.raises(CorpusError, match=r"'x': expected an id once, got t.tsv:2 and t.tsv:3"):
        run(table(root, "path\nx.wav\n./x.wav\n"), root)
    record("x.flac")
    with pytest.raises(CorpusError, match=r"'x': expected an id once, got x.flac and x.wav"):
        run(FolderCorpus(name="c", root=root, license=""), root)


@pytest.mark.parametrize("bad", ["../x", "/x", "a//b", "a/./b", "x\x7f"])
def test_an_id_that_leaves_its_folder_is_refused(root: Path, record: Recorder, bad: str) -> None:
    record("x.wav")
    with pytest.raises(CorpusError, match="expected a name or a relative path"):
        run(table(root, f"path\tid\nx.wav\t{bad}\n"), root)


def test_audio_in_no_table_is_counted_and_named(
    root: Path, record: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("x", "y", "z"):
        record(f"{name}.wav")
    with caplog.at_level(logging.INFO):
        out = run(table(root, "path\nx.wav\n"), root)
    summary = json.loads((out / "corpus.json").read_text())
    assert (summary["num_unlisted"], summary["unlisted"]) == (2, ["y.wav", "z.wav"])
    assert "2 audio files are in no table" in caplog.text
    assert "y.wav, z.wav" in caplog.text


def test_a_split_of_the_rule_that_nobody_is_in_is_there_and_said(
    root: Path, record: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    record("x.wav")
    rule = {"by": "hash", "shares": {"held-out": 1.0}}
    with caplog.at_level(logging.INFO):
        out = run(FolderCorpus(name="c", root=root, license="", split_rule=rule), root)
    assert split_names(out) == ("train", "held-out")
    assert "c train: empty" in caplog.text
    assert read_manifest(out / "train.jsonl") == []
    assert len(read_manifest(out / "held-out.jsonl")) == 1


def test_growth_moves_nobody_to_another_split(root: Path, record: Recorder) -> None:
    def splits() -> dict[str, str]:
        rule = {"by": "hash", "shares": {"dev": 0.3, "test": 0.3}}
        out = run(FolderCorpus(name="c", root=root, license="", split_rule=rule), root)
        return {
            row.id: split
            for split in split_names(out)
            for row in read_manifest(out / f"{split}.jsonl")
        }

    for index in range(20):
        record(f"a/{index}.wav")
    before = splits()
    for index in range(10):
        record(f"0-first/{index}.wav")
    after = splits()
    assert {name: after[name] for name in before} == before
    assert set(before.values()) == set(SPLITS)


def test_a_folder_of_something_else_is_not_replaced(root: Path, record: Recorder) -> None:
    record("x.wav")
    precious = root.parent / "manifests/c/precious.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    with pytest.raises(CorpusError, match=r"expected a free place, .*, got something else there"):
        run(table(root, "path\nx.wav\n"), root)
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("old_is_back", [True, False])
def test_what_a_killed_run_left_is_cleared_or_put_back(
    root: Path, record: Recorder, old_is_back: bool
) -> None:
    record("x.wav")
    out = run(table(root, "path\nx.wav\n"), root)
    before = content(out)
    aside, beside = out.with_name(".c.replaced"), out.with_name(".c.partial")
    if old_is_back:  # killed after the second rename
        shutil.copytree(out, aside)
    else:  # and before it
        out.rename(aside)
    beside.mkdir()
    (beside / "train.jsonl").touch()
    with pytest.raises(FailureBudgetError):
        run(table(root, "path\nmissing.wav\n"), root)
    assert content(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["c"]
    assert content(run(table(root, "path\nx.wav\n"), root)) == before
    assert [path.name for path in out.parent.iterdir()] == ["c"]


def test_a_run_that_cannot_move_its_folder_puts_the_old_one_back(
    root: Path, record: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("x.wav"), record("y.wav")
    out = run(table(root, "path\nx.wav\n"), root)
    before = content(out)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == ".c.partial":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output error"):
        run(table(root, "path\nx.wav\ny.wav\n"), root)
    assert content(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["c"]


def test_a_file_of_unknown_length_is_not_estimated(root: Path, record: Recorder) -> None:
    written = bytearray(record("x.flac").read_bytes())
    packed = int.from_bytes(written[18:26], "big")
    written[18:26] = (packed >> 36 << 36).to_bytes(8, "big")
    (root / "x.flac").write_bytes(written)
    assert estimate_duration_s(root, ["x.flac"]) == 0
    assert all_rows(run(table(root, "path\nx.flac\n"), root))["x"].num_samples == 1600


@pytest.mark.parametrize("name", ["b" * 300, "c/" * 2000])
def test_a_name_that_no_file_can_have_is_listed_whether_or_not_a_bar_is_shown(
    root: Path, record: Recorder, name: str
) -> None:
    record("x.wav")
    corpus = table(root, f"path\tid\nx.wav\tx\n{name}.wav\tlong\n")
    out = run(corpus, root, max_failures=1, progress=lambda _: nullcontext(lambda _: None))
    [failure] = read_failures(out / "failures.jsonl")
    assert failure.id == "long"
    assert failure.kind in ("bad_name", "missing")
    assert list(all_rows(out)) == ["x"]


def test_progress_is_told_the_seconds_of_audio(demo: Corpus, root: Path) -> None:
    totals: list[float] = []
    done: list[float] = []

    @contextmanager
    def progress(total_s: float) -> Iterator[Advance]:
        totals.append(total_s)
        yield done.append

    run(demo, root, progress=progress)
    assert totals[0] == pytest.approx(145, rel=0.01)
    assert sum(done) == pytest.approx(145, abs=0.5)


def test_a_killed_run_leaves_the_old_folder_whole_or_none(demo: Corpus, root: Path) -> None:
    out = run(demo, root)
    before = content(out)
    code = (
        "import sys\n"
        "from featbank.corpora.prepare import prepare\n"
        "from featbank.corpora.layouts.table import TableCorpus\n"
        "root, out, failures = sys.argv[1:]\n"
        "corpus = TableCorpus(name='demo', root=root, license='', table='transcripts.tsv')\n"
        "print('go', flush=True)\n"
        "while True: prepare(corpus, out, failures_path=failures)\n"
    )
    for delay in (0.0, 0.05, 0.1, 0.13, 0.16, 0.2):
        failures = root.parent / "failures.jsonl"
        command = [sys.executable, "-c", code, str(demo.root), str(out), str(failures)]
        with running(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        if out.exists():
            found = content(out)
            assert sorted(found) == sorted(before)
            assert {name: found[name] for name in found if name != "corpus.json"} == {
                name: before[name] for name in before if name != "corpus.json"
            }


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "conf/corpus").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_corpus_definition_builds_a_corpus(path: Path) -> None:
    config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    assert isinstance(config, dict)
    corpus = build({str(key): value for key, value in config.items()})
    assert isinstance(corpus, Corpus)
    assert corpus.name == path.stem
    assert corpus.license


def test_a_corpus_of_real_layouts_prepares_from_its_definition(
    root: Path, record: Recorder
) -> None:
    record("train-clean-5/1/2/1-2-0000.flac")
    (root / "train-clean-5/1/2/1-2.trans.txt").write_text("1-2-0000 HELLO\n")
    config = OmegaConf.to_container(OmegaConf.load(PROJECT / "conf/corpus/librispeech.yaml"))
    assert isinstance(config, dict)
    [row] = read_manifest(run(build({**config, "root": str(root)}), root) / "train-clean-5.jsonl")
    assert (row.id, row.part, row.text) == ("train-clean-5/1/2/1-2-0000", "train-clean-5", "HELLO")
