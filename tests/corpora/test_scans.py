"""Files are decoded once: what was found of them is remembered, and never where it is wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

import featbank.corpora.scanning as scanning
from featbank.base.failures import read_failures
from featbank.base.manifest import read_manifest
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import FailureBudgetError
from featbank.runners.base import Runner
from featbank.runners.inline import InlineRunner
from featbank.runners.local import LocalRunner
from featbank.runners.threads import ThreadRunner
from tests.waiting import running, wait_until

Recorder = Callable[..., Path]
ALL_TRAIN = {"by": "hash", "shares": {}}
LONG_AGO = 1_500_000_000


def folder(root: Path) -> FolderCorpus:
    return FolderCorpus(name="c", root=root, license="", split_rule=ALL_TRAIN)


def run(root: Path, **options: Any) -> dict[str, bytes]:
    """Prepare a folder; return the manifests' bytes."""
    out = root.parent / "manifests"
    prepare(
        options.pop("corpus", folder(root)),
        out,
        **{"failures_path": root.parent / "f.jsonl"} | options,
    )
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded, and `#` before those that are hashed only."""
    names: list[str] = []
    decode, hashed = scanning.scan_audio, scanning._sha256

    def scan(path: Path) -> Any:
        names.append(path.name)
        return decode(path)

    def sha256(path: Path) -> str:
        if path.name not in names:
            names.append(f"#{path.name}")
        return hashed(path)

    monkeypatch.setattr(scanning, "scan_audio", scan)
    monkeypatch.setattr(scanning, "_sha256", sha256)
    return names


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file have been written long enough ago to be believed, ctime and all."""
    monkeypatch.setattr(scanning, "_DOUBT_NS", -(10**18))


def forget(names: list[str]) -> list[str]:
    seen = sorted(names)
    names.clear()
    return seen


@pytest.mark.usefixtures("old")
def test_only_what_is_new_or_changed_is_decoded(
    root: Path, record: Recorder, counted: list[str]
) -> None:
    for name in ("a.wav", "b.flac", "c.wav"):
        record(name)
    first = run(root)
    assert forget(counted) == ["a.wav", "b.flac", "c.wav"]
    assert run(root) == first
    assert forget(counted) == []
    record("d.wav")
    record("b.flac", num_samples=900)
    changed = run(root)
    assert forget(counted) == ["b.flac", "d.wav"]
    assert run(root, scans=root.parent / "elsewhere") == changed
    assert forget(counted) == ["a.wav", "b.flac", "c.wav", "d.wav"]


@pytest.mark.usefixtures("old")
def test_scans_outlive_the_folder_of_the_manifests(
    root: Path, record: Recorder, counted: list[str]
) -> None:
    record("a.wav")
    out = root.parent / "manifests"
    for expected in (["a.wav"], []):
        prepare(folder(root), out, failures_path=out / "failures.jsonl")
        assert forget(counted) == expected
    assert sorted(path.name for path in out.iterdir()) == ["corpus.json", "train.jsonl"]


@pytest.mark.usefixtures("old")
def test_a_typo_in_a_transcript_and_a_bad_file_decode_nothing_again(
    root: Path, record: Recorder, counted: list[str]
) -> None:
    record("a.wav"), record("b.wav")
    (root / "bad.wav").write_bytes(record("c.wav").read_bytes()[:1000])

    def table(text: str) -> TableCorpus:
        (root / "t.tsv").write_text(f"path\ttext\na.wav\t{text}\nb.wav\t\nbad.wav\t\n")
        return TableCorpus(name="c", root=root, license="", table="t.tsv", split_rule=ALL_TRAIN)

    with pytest.raises(FailureBudgetError):
        run(root, corpus=table("teh"))
    forget(counted)
    with pytest.raises(FailureBudgetError, match=r"the first 'bad' \(audio bad.wav is cut short"):
        run(root, corpus=table("the"))
    manifests = run(root, corpus=table("the"), max_failures=1)
    assert forget(counted) == []
    assert manifests == run(
        root, corpus=table("the"), max_failures=1, scans=root.parent / "nothing remembered"
    )
    [failure] = read_failures(root.parent / "manifests/failures.jsonl")
    assert failure.kind == "truncated"


def test_a_file_written_a_moment_ago_is_doubted_and_hashed_not_decoded(
    root: Path, record: Recorder, counted: list[str]
) -> None:
    record("a.wav"), record("b.flac")
    first = run(root)
    forget(counted)
    assert run(root) == first
    assert forget(counted) == ["#a.wav", "#b.flac"]


def test_a_change_under_the_same_stamp_is_seen_while_the_stamp_is_young(
    root: Path, record: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record("a.wav")
    before = read_after(root)
    stamp = scanning._stamp(path)
    record("b.wav").replace(path)
    # as where the clock of the file system did not tick in between
    monkeypatch.setattr(scanning, "_stamp", lambda _: stamp)
    assert read_after(root) != before


def read_after(root: Path) -> str:
    run(root)
    return read_manifest(root.parent / "manifests/train.jsonl")[0].audio_digest


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_change_with_a_kept_mtime_is_seen(
    root: Path, record: Recorder, counted: list[str], name: str
) -> None:
    path = record(name)
    os.utime(path, (LONG_AGO, LONG_AGO))
    first = run(root)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    # the ctime ticks: what is written in the same tick is the doubt's
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(data)
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_size == before.st_size
    forget(counted)
    if name == "a.wav":
        assert run(root) != first
    else:  # whose header still holds the digest of the samples that there were
        with pytest.raises(FailureBudgetError, match=r"audio a.flac (is damaged|does not decode)"):
            run(root)
    assert "a" in forget(counted)[-1]


@pytest.mark.usefixtures("old")
def test_a_file_that_is_touched_or_copied_is_hashed_and_not_decoded(
    root: Path, record: Recorder, counted: list[str]
) -> None:
    path = record("a.flac")
    first = run(root)
    forget(counted)
    copy = root / "copy"
    copy.write_bytes(path.read_bytes())
    copy.replace(path)
    assert run(root) == first
    assert forget(counted) == ["#a.flac"]
    assert run(root) == first
    assert forget(counted) == []


@pytest.mark.usefixtures("old")
def test_a_file_that_comes_back_is_scanned_and_a_missing_one_not_remembered(
    root: Path, record: Recorder, counted: list[str]
) -> None:
    (root / "t.tsv").write_text("path\na.wav\n")
    corpus = TableCorpus(name="c", root=root, license="", table="t.tsv", split_rule=ALL_TRAIN)
    with pytest.raises(FailureBudgetError, match="No such file"):
        run(root, corpus=corpus)
    record("a.wav")
    forget(counted)
    run(root, corpus=corpus)
    assert forget(counted) == ["a.wav"]


@pytest.mark.usefixtures("old")
def test_another_decoder_scans_all_again(
    root: Path, record: Recorder, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record("a.wav")
    run(root)
    forget(counted)
    monkeypatch.setattr(soundfile, "__libsndfile_version__", "9.9.9")
    run(root)
    assert forget(counted) == ["a.wav"]


@pytest.mark.usefixtures("old")
def test_a_damaged_memory_is_scanned_again_and_never_believed(
    root: Path, record: Recorder, counted: list[str]
) -> None:
    names = [f"{letter}.wav" for letter in "abcd"]
    for name in names:
        record(name)
    first = run(root)
    kept = root.parent / "f.scans/scans"
    whole = kept.read_bytes()
    forget(counted)
    rng = random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole)
        match rng.randrange(4):
            case 0:
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            case 1:
                del damaged[rng.randrange(len(damaged)) :]
            case 2:
                at = rng.randrange(len(damaged))
                damaged[at : at + 9] = rng.randbytes(9)
            case _:
                lines = whole.splitlines(keepends=True)
                rng.shuffle(lines)
                damaged = bytearray(b"".join(lines[: rng.randrange(4)]))
        kept.write_bytes(damaged)
        assert run(root) == first
    assert len(forget(counted)) >= 60
    for nonsense in (b"", b"\n\n\t\n", b"a.wav\t\n", bytes(1000), whole.replace(b"16000", b"8000")):
        kept.write_bytes(nonsense)
        assert run(root) == first
    kept.unlink()
    kept.mkdir()
    assert run(root) == first
    kept.rmdir()
    os.mkfifo(kept)
    assert run(root) == first


@pytest.mark.usefixtures("old")
def test_a_torn_log_is_believed_up_to_where_it_is_torn(
    root: Path, record: Recorder, counted: list[str]
) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        record(name)
    first = run(root)
    scans = root.parent / "f.scans"
    lines = (scans / "scans").read_bytes().splitlines(keepends=True)
    (scans / "scans").unlink()
    (scans / "log").write_bytes(b"\n" + lines[0] + lines[1][:40])
    forget(counted)
    assert run(root) == first
    assert forget(counted) == ["b.wav", "c.wav"]
    assert sorted(path.name for path in scans.iterdir()) == ["scans"]


@pytest.mark.parametrize("put", [os.mkdir, os.mkfifo])
def test_memory_that_cannot_be_written_costs_no_run(
    root: Path, record: Recorder, caplog: pytest.LogCaptureFixture, put: Callable[[Path], None]
) -> None:
    record("a.wav")
    scans = root.parent / "scans"
    scans.mkdir()
    put(scans / "log")
    first = run(root)
    assert run(root, scans=scans) == first
    assert "scans are not remembered" in caplog.text


_SLOW = """
import sys, time
import featbank.corpora.scanning as scanning
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.prepare import prepare
decode = scanning.scan_audio
def scan(path):
    if path.name.startswith("z"):
        time.sleep(600)
    return decode(path)
scanning.scan_audio = scan
scanning._DOUBT_NS = -(10**18)
root, out, failures = sys.argv[1:]
splits = {"by": "hash", "shares": {}}
corpus = FolderCorpus(name="c", root=root, license="", split_rule=splits)
prepare(corpus, out, failures_path=failures)
"""


@pytest.mark.usefixtures("old")
def test_a_run_that_is_killed_keeps_what_it_has_scanned(
    root: Path, record: Recorder, counted: list[str]
) -> None:
    for letter in "abcdez":
        record(f"{letter}.wav")
    scans = root.parent / "f.scans"
    command = [
        sys.executable,
        "-c",
        _SLOW,
        root,
        root.parent / "manifests",
        root.parent / "f.jsonl",
    ]
    with running(command) as process:
        log = scans / "log"
        wait_until(
            lambda: (
                (log.exists() and log.read_bytes().count(b"wav\t") >= 5)
                or process.poll() is not None
            ),
            "no five files are scanned",
        )
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    left = scans / f".scratch-{socket.gethostname()}-{process.pid}-x"
    left.mkdir()  # as where memory did not hold what it sorted
    kept = run(root)
    assert forget(counted) == ["z.wav"]
    assert kept == run(root, scans=root.parent / "nothing remembered")
    assert sorted(path.name for path in scans.iterdir()) == ["scans"]


def test_a_run_with_nothing_changed_costs_one_stat_a_file(root: Path, record: Recorder) -> None:
    for number in range(40):
        record(f"s{number % 4}/u{number}.wav", num_samples=100)
    code = (
        "import sys\n"
        "from featbank.corpora.layouts.folder import FolderCorpus\n"
        "from featbank.corpora.prepare import prepare\n"
        "import featbank.corpora.scanning as scanning\n"
        "scanning._DOUBT_NS = -(10**18)\n"
        "calls = []\n"
        "sys.addaudithook(lambda event, args: event == 'open' and calls.append(str(args[0])))\n"
        "stamp = scanning._stamp\n"
        "scanning._stamp = lambda path: calls.append(f'stat {path}') or stamp(path)\n"
        "root, out, failures = sys.argv[1:]\n"
        "corpus = FolderCorpus(name='c', root=root, license='', split_rule={'by': 'hash'})\n"
        "for _ in range(2):\n"
        "    calls.clear()\n"
        "    prepare(corpus, out, failures_path=failures)\n"
        "print(*[call for call in calls if call.endswith('.wav')], sep='\\n')\n"
    )
    paths = map(str, (root, root.parent / "manifests", root.parent / "f.jsonl"))
    command = [sys.executable, "-c", code, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()) == sorted(
        f"stat {path}" for path in root.rglob("*.wav")
    )


class Backwards:
    """Runs tasks in the opposite order, the last first."""

    gives_gpu = False

    def count_workers(self) -> int:
        return 1

    def run(self, make_worker: Any, tasks: Any, advance: Any) -> Any:
        worker = make_worker()
        for task in reversed(list(tasks)):
            yield worker(task, advance)


@pytest.mark.parametrize(
    "runner",
    [InlineRunner(), ThreadRunner(num_workers=3), LocalRunner(num_workers=2), Backwards()],
    ids=lambda runner: type(runner).__name__,
)
def test_the_runner_changes_no_byte(root: Path, record: Recorder, runner: Runner) -> None:
    for number in range(30):
        record(f"u{number}.{'flac' if number % 2 else 'wav'}", num_samples=100 + number)
    (root / "bad.wav").write_bytes(b"RIFF")
    expected = run(root, max_failures=1)
    assert run(root, runner=runner, scans=root.parent / "new", max_failures=1) == expected
    assert json.loads(expected["corpus.json"])["num_failures"] == 1
