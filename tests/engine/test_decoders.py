"""What decides samples beside their file is part of the numerics class, and nothing else is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import soxr

from featbank.audio import scan_audio
from featbank.audio.versions import warn_of_ffmpeg
from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.certification.certifying import Certifier
from featbank.certification.findings import Tolerances
from featbank.engine.recomputing import DrawnSample
from featbank.engine.tokenize_audio import FeatureTokens, tokenize_audio
from featbank.errors import FeatbankError
from featbank.numerics import give_equal_bits
from featbank.runners.inline import InlineRunner
from featbank.store import open_store
from featbank.tokenizers.codebook import load_codebook
from featbank.tokenizers.codebook_task import CodebookTask
from featbank.tokenizers.fit import fit_codebook
from featbank.tokenizers.kmeans import KMeans
from featbank.tokenizers.sample import write_pins, write_sample
from featbank.tokenizers.token_stores import TokenStores
from featbank.tokenizers.tokenize import tokenize
from tests.extracting import demo_run, extract_corpus, files, run_extraction
from tests.ffmpeg_files import FFMPEG, SPEECH, ffmpeg, needs_ffmpeg

SOXR = f"{soxr.__libsoxr_version__}, soxr {soxr.__version__}"
LIBSNDFILE = f"{soundfile.__libsndfile_version__}, soundfile {soundfile.__version__}"
ENCODED: Mapping[str, list[str]] = {
    "a.flac": [],
    "b.wav": [],
    "c-8khz.flac": ["-ar", "8000"],
    "d.ogg": ["-c:a", "libvorbis"],
    "e.m4a": ["-c:a", "aac"],
}

pytestmark = needs_ffmpeg


def ffmpeg_here() -> str:
    assert FFMPEG
    said = subprocess.run([FFMPEG, "-version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[2]


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech in each format."""
    root = tmp_path_factory.mktemp("encoded")
    for name, arguments in ENCODED.items():
        ffmpeg("-i", SPEECH, *arguments, root / name)
    return root


@pytest.fixture
def root(encoded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(encoded, tmp_path / "corpus"))


def manifest(root: Path, *names: str) -> None:
    """Write the manifests of some files; each is a part, and so a shard, of its own."""
    rows = []
    for name in names:
        scan = scan_audio(root / name)
        rows.append(
            Utterance(
                id=name.partition(".")[0], audio=name, part=name, audio_digest=scan.digest,
                sample_rate=scan.sample_rate, num_samples=scan.num_samples,
            )
        )  # fmt: skip
    for split in ("train", "dev", "test"):
        write_manifest(root.parent / "manifests" / f"{split}.jsonl", rows * (split == "train"))


def audio_of(out: Path) -> dict[str, Any]:
    """What the class of each shard says of its samples, by part."""
    store = open_store(out / "fbank" / "train")
    return {
        info.part: store.open_shard(number).spec.numerics.get("audio")
        for number, info in enumerate(store.header.shards)
    }


def other_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = "99.1") -> None:
    """Put an ffmpeg first that decodes as ever, and says that it is another."""
    folder.mkdir()
    (folder / "ffmpeg").write_text(
        f'#!/bin/sh\ncase "$*" in *-version*) echo "ffmpeg version {version} Copyright" ;;\n'
        f'*) exec {FFMPEG} "$@" ;; esac\n'
    )
    (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_shard_names_the_versions_that_decided_its_samples(root: Path, tmp_path: Path) -> None:
    manifest(root, *ENCODED)
    [header] = [
        one for one in extract_corpus(root, tmp_path / "out", num_workers=None) if one.shards
    ]
    assert audio_of(tmp_path / "out") == {
        "a.flac": None,
        "b.wav": None,
        "c-8khz.flac": {"soxr": SOXR},
        "d.ogg": {"ffmpeg": ffmpeg_here(), "libsndfile": LIBSNDFILE},
        "e.m4a": {"ffmpeg": ffmpeg_here()},
    }
    assert len(header.numerics) == 4
    again = run_extraction(root, tmp_path / "out", num_workers=None, numerics="strict")
    assert (again.tally.num_kept, again.tally.num_computed) == (5, 0)


def test_rows_that_another_ffmpeg_decoded_are_kept_whole_or_computed_never_mixed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    manifest(root, *ENCODED)
    extract_corpus(root, tmp_path / "out", num_workers=None)
    before = audio_of(tmp_path / "out")
    other_ffmpeg(tmp_path / "bin", monkeypatch)

    kept = run_extraction(root, tmp_path / "out", num_workers=None)
    assert kept.tally.num_kept == 5
    assert "some shards are of another numerics class" in caplog.text
    assert audio_of(tmp_path / "out") == before

    strict = run_extraction(root, tmp_path / "out", num_workers=None, numerics="strict")
    assert (strict.tally.num_kept, strict.tally.num_computed) == (3, 2)
    assert audio_of(tmp_path / "out")["e.m4a"] == {"ffmpeg": "99.1"}
    assert audio_of(tmp_path / "out")["c-8khz.flac"] == before["c-8khz.flac"]


def test_a_growing_shard_takes_no_row_of_another_ffmpeg(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest(root, "a.flac", "e.m4a")
    shutil.copy(root / "a.flac", root / "a2.flac")
    shutil.copy(root / "e.m4a", root / "e2.m4a")
    extract_corpus(root, tmp_path / "out", num_workers=None)
    other_ffmpeg(tmp_path / "bin", monkeypatch)
    path = root.parent / "manifests" / "train.jsonl"
    manifest(root, "a.flac", "a2.flac", "e.m4a", "e2.m4a")
    path.write_text(
        path.read_text()
        .replace('"part":"a2.flac"', '"part":"a.flac"')
        .replace('"part":"e2.m4a"', '"part":"e.m4a"')
    )
    done = run_extraction(root, tmp_path / "out", num_workers=None)
    # the FLAC is copied into the shard that takes another; the M4A is decoded anew beside its mate
    assert (done.tally.num_copied, done.tally.num_computed) == (1, 3)
    assert audio_of(tmp_path / "out") == {"a.flac": None, "e.m4a": {"ffmpeg": "99.1"}}


def test_a_strict_run_refuses_a_worker_with_another_ffmpeg(root: Path, tmp_path: Path) -> None:
    manifest(root, "e.m4a")

    class Elsewhere(InlineRunner):
        """Has a worker that finds another ffmpeg than the run that it works for."""

        def run(self, make_worker: Any, tasks: Any, advance: Any) -> Any:
            for results in super().run(make_worker, tasks, advance):
                yield tuple(
                    replace(one, numerics={**one.numerics, "audio": {"ffmpeg": "elsewhere"}})
                    for one in results
                )

    with pytest.raises(
        FeatbankError, match=rf"class of a worker: .*{re.escape(ffmpeg_here())}.*got .*elsewhere"
    ):
        run_extraction(root, tmp_path / "out", numerics="strict", runner=Elsewhere())


def test_tokens_straight_from_audio_state_what_those_of_two_steps_do(
    root: Path, tmp_path: Path
) -> None:
    manifest(root, *ENCODED)
    extract_corpus(root, tmp_path / "features", num_workers=None)
    pins, codebook = tmp_path / "pins.txt", tmp_path / "codebook.safetensors"
    write_pins(pins, ["a"], how="the first")
    write_sample(features=[tmp_path / "features/fbank/train"], pins=pins, out=tmp_path / "sample")
    task = CodebookTask(sample=tmp_path / "sample", out=codebook, seed=0)
    fit_codebook(task, KMeans(num_clusters=4), tmp_path / "work")
    manifests = tmp_path / "manifests"
    stores = TokenStores(codebook=load_codebook(codebook))
    tokenize(
        manifests=manifests, features=tmp_path / "features/fbank", stores=stores,
        out=tmp_path / "two",
    )  # fmt: skip
    tokens = FeatureTokens(feature="fbank", stores=stores)
    tokenize_audio(demo_run(root), tmp_path / "direct", tokens)
    assert files(tmp_path / "direct") == files(tmp_path / "two")
    [numerics] = open_store(tmp_path / "direct/units/train").header.numerics
    assert numerics["audio"] == {"ffmpeg": ffmpeg_here(), "libsndfile": LIBSNDFILE, "soxr": SOXR}

    # nothing is left of what needed a decoder, and nothing says so any more
    manifest(root, "a.flac", "b.wav")
    tally = tokenize_audio(demo_run(root), tmp_path / "direct", tokens).tally
    assert tally.num_computed == 0
    [numerics] = open_store(tmp_path / "direct/units/train").header.numerics
    assert "audio" not in numerics


def test_a_certificate_tells_another_ffmpeg_from_a_mate_that_needs_one(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest(root, "a.flac", "e.m4a")
    path = root.parent / "manifests" / "train.jsonl"
    path.write_text(path.read_text().replace('"part":"e.m4a"', '"part":"a.flac"'))  # one shard
    extract_corpus(root, tmp_path / "features", num_workers=None)

    def certify(*names: str) -> str:
        drawn = [row for row in read_manifest(path) if row.audio in names]
        certificate = Certifier(
            name="features", stores=tmp_path / "features",
            run=demo_run(root, work=tmp_path / "certify"),
            sample=DrawnSample(rows={"train": drawn, "dev": [], "test": []}, seed=0),
            tolerances=Tolerances(difference=0.05, flips=0.0),
        ).features()  # fmt: skip
        assert not certificate.problems
        return str(certificate.stores[0])

    assert certify("a.flac") == "fbank: 1 utterances with equal bits"
    assert certify("a.flac", "e.m4a") == "fbank: 2 utterances with equal bits"
    other_ffmpeg(tmp_path / "bin", monkeypatch)
    assert "made elsewhere" not in certify("a.flac")
    assert f"made elsewhere: audio {{'ffmpeg': '{ffmpeg_here()}'}}, now" in certify("e.m4a")


def test_an_ffmpeg_behind_a_name_that_promises_samples_is_told(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_ffmpeg.cache_clear()  # it is told once
    (root / "e.m4a").rename(root / "e.wav")
    manifest(root, "e.wav")
    assert "ffmpeg decodes some *.wav" in caplog.text


def test_classes_give_equal_bits_where_they_share_no_other_version() -> None:
    here = {"isa": "AVX2"}
    one = {**here, "audio": {"soxr": "1", "ffmpeg": "5"}}
    assert give_equal_bits(here, one)
    assert give_equal_bits(one, {**here, "audio": {"soxr": "1"}})
    assert not give_equal_bits(one, {**here, "audio": {"soxr": "2"}})
    assert not give_equal_bits(here, {"isa": "AVX512"})
