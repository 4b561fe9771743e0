"""Every kind of bad file and bad row, through the real `prepare` and the real `extract`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from featbank.audio import audio_digest, scan_audio
from featbank.base.failures import Failure, read_failures
from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.base.split_names import split_names
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import AUDIO_FAULTS, AudioError, FailureBudgetError
from featbank.store import open_store
from tests.bad_audio import BAD, RATE, noise, state_no_length
from tests.conftest import ROOT, SPLITS
from tests.extracting import extract_corpus

ALL_TRAIN = {"by": "hash", "shares": {}}
# of what `prepare` finds in a whole file, the extraction sees that one second is not there
SEEN_OTHERWISE = {
    "no-samples.wav": ("bad_segment", "samples up to 16000", "0"),
    "no-samples.flac": ("truncated", "16000 samples", "0 decoded"),
}


@pytest.fixture(scope="module")
def bad_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each bad kind, a good one, and a table of them all."""
    root = tmp_path_factory.mktemp("bad") / "corpus"
    root.mkdir()
    soundfile.write(root / "good.wav", noise(), RATE)
    for name, bad in BAD.items():
        bad.make(root / name)
    rows = "".join(f"{name}\t{name}\n" for name in ["good.wav", *BAD])
    (root / "table.tsv").write_text("id\tpath\n" + rows)
    return root


@pytest.fixture(scope="module")
def found_by_prepare(bad_corpus: Path) -> dict[str, Failure]:
    corpus = TableCorpus(
        name="bad", root=bad_corpus, license="free", table="table.tsv", split_rule=ALL_TRAIN
    )
    out = bad_corpus.parent / "prepared"
    prepare(corpus, out, failures_path=bad_corpus.parent / "failures.jsonl", max_failures=len(BAD))
    assert [row.id for row in read_manifest(out / "train.jsonl")] == ["good.wav"]
    return {failure.audio: failure for failure in read_failures(out / "failures.jsonl")}


@pytest.fixture(scope="module")
def found_by_extract(bad_corpus: Path) -> dict[str, Failure]:
    rows = [_row(bad_corpus, name) for name in ["good.wav", *BAD]]
    return _extracted(bad_corpus, rows, stored=["good.wav"])


def _row(root: Path, audio: str) -> Utterance:
    """A row as if the first second of the file had been good when its manifest was made."""
    try:
        digest = audio_digest(root / audio)
    except AudioError:
        digest = "sha256:0"
    return Utterance(
        id=audio,
        audio=audio,
        audio_digest=digest,
        sample_rate=RATE,
        num_samples=RATE,
    )


def _extracted(root: Path, rows: list[Utterance], *, stored: list[str]) -> dict[str, Failure]:
    """Extract hand-written rows and return the failures by id, all others being stored."""
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        manifests, out = Path(folder, "manifests"), Path(folder, "out")
        for split in SPLITS:
            write_manifest(manifests / f"{split}.jsonl", [])
        # by hand, for JSON can escape what is no UTF-8
        lines = [json.dumps(asdict(row)) for row in sorted(rows, key=lambda row: row.id)]
        (manifests / "train.jsonl").write_text("".join(f"{line}\n" for line in lines))
        extract_corpus(root, out, num_workers=2, manifests=manifests, max_failures=len(rows))
        assert list(open_store(out / "fbank/train").ids) == stored
        failures = read_failures(out / "fbank/train/failures.jsonl")
    assert sorted([failure.id for failure in failures] + stored) == sorted(row.id for row in rows)
    return {failure.id: failure for failure in failures}


@pytest.mark.parametrize("name", BAD)
def test_prepare_lists_a_bad_file(name: str, found_by_prepare: dict[str, Failure]) -> None:
    failure, bad = found_by_prepare[name], BAD[name]
    assert (failure.id, failure.kind) == (name, bad.kind)
    assert name in failure.error
    assert re.fullmatch(re.escape(bad.expected) + "|" + bad.expected, failure.expected)
    assert re.fullmatch(bad.got, failure.got)


@pytest.mark.parametrize("name", BAD)
def test_extract_lists_a_file_that_went_bad(
    name: str, found_by_prepare: dict[str, Failure], found_by_extract: dict[str, Failure]
) -> None:
    failure = found_by_extract[name]
    if name in SEEN_OTHERWISE:
        assert (failure.kind, failure.expected, failure.got) == SEEN_OTHERWISE[name]
    else:
        assert failure == found_by_prepare[name]


def test_no_path_of_this_machine_is_in_a_failure(
    bad_corpus: Path, found_by_prepare: dict[str, Failure], found_by_extract: dict[str, Failure]
) -> None:
    for failure in [*found_by_prepare.values(), *found_by_extract.values()]:
        assert str(bad_corpus) not in f"{failure.error} {failure.expected} {failure.got}"


def test_a_budget_ends_prepare_with_the_path_of_the_list(bad_corpus: Path, tmp_path: Path) -> None:
    corpus = FolderCorpus(
        name="bad", root=bad_corpus, license="free", glob="*.flac", split_rule=ALL_TRAIN
    )
    path = tmp_path / "failures.jsonl"
    with pytest.raises(FailureBudgetError, match=re.escape(str(path))):
        prepare(corpus, tmp_path / "out", failures_path=path)
    assert [failure.id for failure in read_failures(path)] == [
        "cut", "flipped", "header-only", "no-samples",
    ]  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def found_in_rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Failure]:
    """What the extraction says of rows that are not as their files are."""
    root = tmp_path_factory.mktemp("rows") / "corpus"
    root.mkdir()
    soundfile.write(root / "good.wav", noise(), RATE)
    soundfile.write(root / "streamed.flac", noise(), RATE)
    data = bytearray((root / "streamed.flac").read_bytes())
    state_no_length(data)
    (root / "streamed.flac").write_bytes(data)
    (root / "caf\udce9.wav").touch()
    good = _row(root, "good.wav")
    rows = [
        replace(_row(root, change["audio"]) if "audio" in change else good, **change, id=name)
        for name, (change, *_) in WRONG_ROWS.items()
    ]
    shortest = replace(good, id="one frame", num_samples=400)
    return _extracted(root, [good, shortest, *rows], stored=["good.wav", "one frame"])


WRONG_ROWS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "wrong rate": ({"sample_rate": 8000}, "wrong_rate", "8000 Hz", "16000 Hz"),
    "no such channel": ({"channel": 1}, "wrong_channel", "a channel 1", "1 channels"),
    "one sample late": ({"start_sample": 1}, "bad_segment", "samples up to 16001", "16000"),
    "past any end": ({"num_samples": 2**40}, "bad_segment", f"samples up to {2**40}", "16000"),
    "before the start": (
        {"start_sample": -1},
        "bad_segment", "a start from 0 on and at least one sample", "16000 from -1 on",
    ),
    "399 samples": ({"num_samples": 399}, "too_short", "400 samples at 16000 Hz", "399"),
    "no sample": ({"num_samples": 0}, "too_short", "400 samples at 16000 Hz", "0"),
    # no list of blocks for 2^40 samples is ever asked for: the file states no length
    "longer than a stream": (
        {"audio": "streamed.flac", "num_samples": 2**40},
        "truncated", f"{2**40} samples", "16000 decoded",
    ),
    "null character": (
        {"audio": "a\0b.wav"}, "bad_name", "a readable file", "no path: embedded null byte"
    ),
    "half a surrogate pair": (
        {"audio": "caf\ud800.wav"},
        "bad_name", "a readable file", "no path: 'utf-8' codec can't encode .*"
    ),
    "no UTF-8": ({"audio": "caf\udce9.wav"}, "empty", "audio", "an empty file"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_ROWS)
def test_extract_lists_a_row_that_is_not_as_its_file(
    name: str, found_in_rows: dict[str, Failure]
) -> None:
    failure, (_, kind, expected, got) = found_in_rows[name], WRONG_ROWS[name]
    assert (failure.kind, failure.expected) == (kind, expected)
    assert re.fullmatch(got, failure.got)


def test_a_name_that_is_no_utf8_is_escaped_in_the_list(found_in_rows: dict[str, Failure]) -> None:
    failure = found_in_rows["no UTF-8"]
    assert (failure.audio, failure.error) == ("caf\\udce9.wav", "audio caf\\udce9.wav")


def test_a_name_that_is_no_utf8_is_listed_with_its_bytes(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    (root / "d\udce9").mkdir(parents=True)
    for name in ("good.wav", "caf\udce9.wav", "two\nlines.wav", "d\udce9/x.wav"):
        soundfile.write(os.open(root / name, os.O_CREAT | os.O_RDWR), noise(), RATE, format="WAV")
    corpus = FolderCorpus(name="c", root=root, license="free", split_rule=ALL_TRAIN)
    out = tmp_path / "out"
    path = tmp_path / "failures.jsonl"
    with pytest.raises(
        FailureBudgetError, match=r"3 of 4 utterances failed, the first .caf.*udce9"
    ):
        prepare(corpus, out, failures_path=path)
    assert len(read_failures(path)) == 3
    prepare(corpus, out, failures_path=path, max_failures=3)
    failures = {failure.audio: failure for failure in read_failures(out / "failures.jsonl")}
    assert sorted(failures) == ["caf\\udce9.wav", "d\\udce9/x.wav", "two\nlines.wav"]
    failure = failures["caf\\udce9.wav"]
    assert (failure.id, failure.kind) == ("caf\\udce9", "bad_name")
    assert failure.expected == "a name in UTF-8, without control characters"
    rows = [row for split in split_names(out) for row in read_manifest(out / f"{split}.jsonl")]
    assert [row.id for row in rows] == ["good"]


def test_a_file_that_no_table_can_name_is_unlisted(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    soundfile.write(root / "good.wav", noise(), RATE)
    os.link(root / "good.wav", root / "caf\udce9.wav")
    (root / "table.tsv").write_text("path\ngood.wav\n")
    corpus = TableCorpus(
        name="c", root=root, license="free", table="table.tsv", split_rule=ALL_TRAIN
    )
    summary = prepare(corpus, tmp_path / "out", failures_path=tmp_path / "failures.jsonl")
    assert summary["unlisted"] == ["caf\\udce9.wav"]


_AS_NOBODY = """
import os, sys
from pathlib import Path
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.prepare import prepare
if os.getuid() == 0:  # root may read anything
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
root, out = Path(sys.argv[1]), Path(sys.argv[2])
splits = {"by": "hash", "shares": {}}
corpus = FolderCorpus(name="c", root=root, license="free", split_rule=splits)
prepare(corpus, out / "manifests", failures_path=out / "failures.jsonl", max_failures=1)
"""


def test_a_file_that_may_not_be_read_is_listed() -> None:
    # not pytest's own folder, which only its owner may enter
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "corpus"), Path(folder, "out")
        root.mkdir()
        out.mkdir()
        for name in ("open.wav", "closed.wav"):
            soundfile.write(root / name, noise(), RATE)
        (root / "closed.wav").chmod(0)
        for path in (Path(folder), out):
            path.chmod(0o777)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([sys.executable, "-c", _AS_NOBODY, root, out], env=environment, check=True)
        [failure] = read_failures(out / "manifests/failures.jsonl")
        assert (failure.id, failure.kind) == ("closed", "unreadable")
        assert (failure.expected, failure.got) == ("a readable file", "Permission denied")


def test_a_wrong_ending_is_no_fault_where_the_content_is_known(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(), RATE, format="FLAC")
    soundfile.write(tmp_path / "x.mp3", noise(), RATE, format="OGG")
    assert scan_audio(tmp_path / "x.wav").digest.startswith("md5:")
    assert scan_audio(tmp_path / "x.mp3").num_samples == RATE


def test_every_case_has_a_kind_of_the_closed_set() -> None:
    assert {bad.kind for bad in BAD.values()} < AUDIO_FAULTS
    assert np.isfinite(noise()).all()
