"""Forecasts against what runs then really take and write."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.manifest import read_manifest, write_manifest
from featbank.engine.extract import feature_job
from featbank.engine.forecast.advice import advice
from featbank.engine.forecast.forecasting import Forecast, forecast_run
from featbank.engine.forecast.remaining import Remaining
from featbank.engine.forecast.speed import Decoders, timed_speed
from featbank.engine.forecast.timing import SampleTimer, TimingTask
from featbank.engine.job import Job
from featbank.engine.run import Reuse
from featbank.engine.tokenize_audio import FeatureTokens, token_job, tokenize_audio
from featbank.engine.work import WorkFolder
from featbank.errors import FailureBudgetError, StoreError
from featbank.pipeline.forecast import facts
from featbank.runners.local import LocalRunner
from featbank.store import (
    ShardRow,
    ShardSpec,
    ShardWriter,
    StoreBuilder,
    StoreHeader,
    open_store,
    planned_bytes,
)
from tests.conftest import ROOT
from tests.engine.test_direct import Project
from tests.extracting import SMALL_SHARDS, demo_run, extract_corpus, run_extraction
from tests.runners.workers import InThisProcess
from tests.store.test_crash import ALONE, may_mount
from tests.waiting import HANG_S

pytestmark = pytest.mark.usefixtures("one_thread")


def _job(root: Path, out: Path, **changes: Any) -> Job:
    """The job of `run_extraction` with the same changes."""
    return feature_job(demo_run(root, **changes), out)


def _remaining(job: Job) -> Remaining:
    return Remaining(job, job.plan())


def _forecast(job: Job, sample_s: float = 1.0) -> Forecast:
    return forecast_run(job, sample_s=sample_s)


def _sizes(remaining: Remaining) -> dict[tuple[str, str], int]:
    return {(store.name, store.split): store.num_bytes for store in remaining.stores}


def _written(out: Path, sizes: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {
        (name, split): sum(path.stat().st_size for path in (out / name / split).glob("*.h5"))
        for name, split in sizes
    }


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8_scaled"])
def test_the_disk_forecast_is_what_is_written_to_the_byte(
    dtype: str, corpus: Path, tmp_path: Path
) -> None:
    storage = [{"name": "fbank", "dtype": dtype, "shard_bytes": 20_000}]
    remaining = _remaining(_job(corpus, tmp_path / "out", storage=storage))
    [disk] = remaining.disks(1)
    run_extraction(corpus, tmp_path / "out", num_workers=None, storage=storage)
    sizes = _sizes(remaining)
    assert len(open_store(tmp_path / "out" / "fbank" / "train").shards) > 1
    assert sizes == _written(tmp_path / "out", sizes)
    assert disk.least_bytes == sum(sizes.values())
    # shards of several tasks lie there twice until they are joined
    assert disk.num_bytes == disk.least_bytes + remaining.interim_bytes
    assert not any(store.at_most for store in remaining.stores)


@pytest.mark.parametrize("compression", ["zstd", "blosc"])
def test_the_size_of_a_compressed_store_is_a_bound(
    compression: str, corpus: Path, tmp_path: Path
) -> None:
    storage = [{"name": "fbank", "compression": compression}]
    remaining = _remaining(_job(corpus, tmp_path / "out", storage=storage))
    run_extraction(corpus, tmp_path / "out", num_workers=None, storage=storage)
    sizes = _sizes(remaining)
    written = _written(tmp_path / "out", sizes)
    assert all(0 < written[key] < sizes[key] for key in sizes)
    assert all(store.at_most for store in remaining.stores)
    [disk] = remaining.disks(1)
    assert disk.least_bytes == 0  # nobody knows


@pytest.mark.parametrize("compression", ["zstd", "blosc"])
@pytest.mark.parametrize("num_frames", [1, 700, 70_000])
def test_not_even_noise_is_larger_than_its_bound(
    num_frames: int, compression: str, tmp_path: Path
) -> None:
    spec = ShardSpec(
        name="x", dtype="uint8", shape=(64,), fingerprint="", numerics={}, compression=compression
    )
    rows = [ShardRow(id="a", num_frames=num_frames)]
    writer = ShardWriter(tmp_path / f"{0:016x}.h5", spec, rows)
    noise = np.random.default_rng(0).integers(0, 256, (num_frames, 64), np.uint8)
    writer.write("a", noise)
    info = writer.close()
    assert info is not None
    assert noise.nbytes < info.num_bytes < planned_bytes(spec, rows)


def test_two_stores_of_one_pass_are_both_forecast(corpus: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "extractor": {"_target_": "tests.two_features.FbankAndEnergy"},
        "storage": [{"name": "fbank"}, {"name": "energy", "dtype": "float16"}],
        "trusted_modules": ["tests"],
    }
    sizes = _sizes(_remaining(_job(corpus, tmp_path / "out", **changes)))
    run_extraction(corpus, tmp_path / "out", num_workers=None, **changes)
    assert {name for name, _ in sizes} == {"fbank", "energy"}
    assert sizes == _written(tmp_path / "out", sizes)


@pytest.mark.parametrize("merge_repeats", [False, True])
def test_the_disk_of_tokens_straight_from_audio_is_forecast(
    merge_repeats: bool, demo_corpus: Path, tmp_path: Path
) -> None:
    project = Project(Path(shutil.copytree(demo_corpus, tmp_path / "corpus")), "float16")
    project.two_steps()
    out = tmp_path / "direct"
    stores = project.stores(merge_repeats=merge_repeats, shard_bytes=1000)
    tokens = FeatureTokens(feature="mfcc", stores=stores)
    remaining = _remaining(token_job(project.run(), out, tokens))
    tally = tokenize_audio(project.run(), out, tokens).tally
    assert remaining.num_left == tally.num_computed == 38
    sizes = _sizes(remaining)
    written = _written(out, sizes)
    if merge_repeats:
        assert all(0 < written[key] <= sizes[key] for key in sizes)
    else:
        assert sizes == written
    assert all(store.at_most == merge_repeats for store in remaining.stores)
    [disk] = remaining.disks(1)
    # the pieces that workers finish lie beside the stores until the end
    assert disk.num_bytes > sum(sizes.values())


def test_a_forecast_says_what_was_measured_and_keeps_nothing(corpus: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    job = _job(corpus, tmp_path / "out", storage=SMALL_SHARDS, runner=InThisProcess(7))
    forecast = _forecast(job)
    assert sorted(tmp_path.rglob("*")) == before
    sample = forecast.sample
    assert sample is not None
    assert forecast.num_utterances == forecast.num_left == 38
    assert forecast.left_s == pytest.approx(forecast.audio_s)
    assert 0 < sample.num_utterances <= 38
    assert forecast.num_workers == 7
    assert sample.failures == []
    assert sample.real_time_factor == pytest.approx(sample.audio_s / sample.seconds)
    assert forecast.hours == pytest.approx(forecast.left_s / sample.real_time_factor / 7 / 3600)
    rows = [row for path in (tmp_path / "manifests").glob("*.jsonl") for row in read_manifest(path)]
    assert sample.longest_s == forecast.longest_s == max(row.duration_s for row in rows)
    assert sample.peak_bytes > 100e6  # PyTorch alone is larger
    assert dict(facts(forecast))["to compute"].startswith("38, ")


def test_more_workers_than_utterances_save_no_time(corpus: Path, tmp_path: Path) -> None:
    forecast = _forecast(_job(corpus, tmp_path / "out", runner=LocalRunner(num_workers=50)))
    assert forecast.num_shards == 3  # a split each, of tasks for many workers
    assert 3 < forecast.num_tasks <= 38
    assert forecast.sample is not None
    assert forecast.sample.real_time_factor is not None
    assert forecast.hours == pytest.approx(
        forecast.left_s / forecast.sample.real_time_factor / forecast.num_tasks / 3600
    )
    [idle] = advice(forecast)
    assert idle.startswith(f"50 workers have {forecast.num_tasks} tasks")


def test_slower_than_real_time_is_told_in_two_digits(corpus: Path, tmp_path: Path) -> None:
    forecast = _forecast(_job(corpus, tmp_path / "out"))
    assert forecast.sample is not None
    sample = replace(forecast.sample, audio_s=1.0, seconds=26.0)
    speed = timed_speed(sample, "cpu", Decoders())
    assert speed is not None
    slow = replace(forecast, sample=sample, speeds=[speed])
    assert dict(facts(slow))["a worker"] == "0.038 x real time, timed on this machine"


def test_what_a_stopped_run_has_finished_is_not_left(corpus: Path, tmp_path: Path) -> None:
    job = _job(corpus, tmp_path / "out", storage=SMALL_SHARDS)
    whole = _remaining(job)
    assert whole.num_left == 38
    audio = corpus / "june_fr" / "vm-toreply.flac"
    audio.rename(corpus / "away")
    with pytest.raises(FailureBudgetError):
        extract_corpus(corpus, tmp_path / "out", num_workers=1, storage=SMALL_SHARDS)
    (corpus / "away").rename(audio)
    rest = _remaining(job)
    assert 0 < rest.num_left < 38
    assert rest.left_s < whole.left_s
    [before], [after] = whole.disks(1), rest.disks(1)
    assert after.num_bytes < before.num_bytes
    assert _sizes(rest) == _sizes(whole)
    done = run_extraction(corpus, tmp_path / "out", num_workers=None, storage=SMALL_SHARDS)
    assert done.tally.num_computed == rest.num_left
    assert done.tally.computed_s == pytest.approx(rest.left_s)
    assert done.tally.num_shards_written == rest.num_shards
    finished = _forecast(job)
    assert (finished.num_left, finished.num_tasks, finished.sample) == (0, 0, None)
    assert finished.hours == 0
    assert [disk.num_bytes for disk in finished.disks] == [0]


def test_of_a_corpus_that_grew_only_the_new_audio_is_left(corpus: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifests" / "train.jsonl"
    rows = read_manifest(manifest)
    write_manifest(manifest, rows[:-2])
    run_extraction(corpus, tmp_path / "out", num_workers=None)
    write_manifest(manifest, rows)
    remaining = _remaining(_job(corpus, tmp_path / "out"))
    assert remaining.num_left == 2
    assert remaining.left_s == pytest.approx(sum(row.duration_s for row in rows[-2:]))
    # the shard that they go to is written anew as a whole, beside the one that is there
    [disk] = remaining.disks(1)
    assert disk.least_bytes == _sizes(remaining)["fbank", "train"]
    assert {row.id for batch in remaining.drawn for row in batch.rows} == {
        row.id for row in rows[-2:]
    }


def test_a_forecast_asks_for_no_lock_of_a_run_at_work(corpus: Path, tmp_path: Path) -> None:
    job = _job(corpus, tmp_path / "out")
    with (
        StoreBuilder(tmp_path / "out" / "fbank" / "train"),
        WorkFolder(job.work_folder) as folder,
    ):
        unfinished = folder.path / "fbank" / ".0123456789abcdef.h5.partial"
        unfinished.parent.mkdir()
        unfinished.write_bytes(b"half a shard")
        assert _forecast(job).num_left == 38
        assert unfinished.read_bytes() == b"half a shard"
        unfinished.unlink()


def test_utterances_that_fail_in_the_sample_are_named(corpus: Path, tmp_path: Path) -> None:
    (corpus / "june_fr" / "vm-toreply.flac").unlink()
    forecast = _forecast(_job(corpus, tmp_path / "out"), sample_s=30.0)
    assert forecast.sample is not None
    assert forecast.sample.num_utterances == 38
    [failure] = forecast.sample.failures
    assert (failure.id, failure.kind) == ("june_fr/vm-toreply", "missing")
    assert dict(facts(forecast))["  june_fr/vm-toreply"].startswith("missing: ")


def test_a_corpus_whose_every_file_is_gone_has_no_hours(corpus: Path, tmp_path: Path) -> None:
    for path in corpus.rglob("*.flac"):
        path.unlink()
    forecast = _forecast(_job(corpus, tmp_path / "out"), sample_s=30.0)
    assert forecast.sample is not None
    assert len(forecast.sample.failures) == 38
    assert forecast.hours is None
    assert "computing" not in dict(facts(forecast))


def test_audio_that_changed_is_among_the_failures_of_the_sample(
    corpus: Path, tmp_path: Path
) -> None:
    audio = corpus / "june_fr" / "vm-toreply.flac"
    other = next(path for path in sorted(corpus.rglob("*.flac")) if path != audio)
    shutil.copy(other, audio)
    forecast = _forecast(_job(corpus, tmp_path / "out"), sample_s=30.0)
    assert forecast.sample is not None
    [failure] = {(one.id, one.kind) for one in forecast.sample.failures}
    assert failure == ("june_fr/vm-toreply", "changed")


def test_an_empty_corpus_takes_nothing(corpus: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "manifests").glob("*.jsonl"):
        write_manifest(path, [])
    forecast = _forecast(_job(corpus, tmp_path / "out"))
    assert (forecast.num_utterances, forecast.sample, forecast.hours) == (0, None, 0)
    assert all(store.num_bytes == 0 for store in forecast.stores)


def test_what_is_too_short_is_known_before(corpus: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifests" / "dev.jsonl"
    short = [replace(row, num_samples=100) for row in read_manifest(manifest)]
    write_manifest(manifest, short)
    forecast = _forecast(_job(corpus, tmp_path / "out"))
    assert forecast.num_too_short == len(short)
    assert forecast.num_left == 38 - len(short)
    assert dict(facts(forecast))["too short for a frame"] == f"{len(short)}, which fail"


def test_the_sample_ends_in_time_and_cuts_what_takes_too_long(corpus: Path, tmp_path: Path) -> None:
    slow = {"_target_": "tests.two_features.SlowFbank", "seconds": 0.25}
    job = _job(corpus, tmp_path / "out", extractor=slow, trusted_modules=["tests"])
    remaining = _remaining(job)
    assert remaining.longest is not None
    (tmp_path / "sample").mkdir()
    task = TimingTask(
        batches=remaining.drawn, longest=remaining.longest, work=tmp_path / "sample", limit_s=0.6
    )
    sample = SampleTimer(job.make_worker)(task, lambda _: None)
    assert 0 < sample.num_utterances < 38
    assert sample.num_cut > 0
    assert sample.longest_s < remaining.longest[1].duration_s
    assert not sample.is_longest
    assert not list((tmp_path / "sample").rglob("*.h5"))


def test_the_longest_utterance_is_computed_up_to_what_goes_in_at_once(
    corpus: Path, tmp_path: Path
) -> None:
    encoder = {
        "_target_": "featbank.features.encoders.ssl.SslEncoder", "bundle": "WAV2VEC2_BASE",
        "layers": {"one": 1}, "weights": "random", "max_window_s": 2.0, "context_s": 0.5,
    }  # fmt: skip
    job = _job(corpus, tmp_path / "out", extractor=encoder, storage=[{"name": "one"}])
    remaining = _remaining(job)
    assert remaining.longest is not None
    (tmp_path / "sample").mkdir()
    task = TimingTask(
        batches=remaining.drawn[:2], longest=remaining.longest, work=tmp_path / "sample", limit_s=60
    )
    sample = SampleTimer(job.make_worker)(task, lambda _: None)
    assert remaining.longest[1].duration_s > 2
    assert sample.longest_s == pytest.approx(2.0, abs=0.001)
    assert sample.is_longest
    assert sample.num_cut == 0


def _stage(stage: str, folder: Path, *overrides: str) -> list[str]:
    return [
        sys.executable, str(ROOT / "stages" / f"{stage}.py"), f"corpus.root={folder / 'corpus'}",
        "feature=fbank", "runner=inline", f"paths.manifests={folder / 'manifests'}",
        f"runtime.records={folder}", f"runtime.failures={folder}", *overrides,
    ]  # fmt: skip


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)


@pytest.mark.slow
@pytest.mark.usefixtures("corpus")
def test_a_stage_prints_what_a_run_will_take_and_makes_nothing(tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    places = [f"paths.root={tmp_path / 'data'}", f"runtime.work={tmp_path / 'work'}"]
    done = _run(_stage("extract", tmp_path, "--dry-run", *places))
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(tmp_path.rglob("*")) == before
    for name in ("to compute", "x real time", "memory of a worker", "store fbank/train", "disk of"):
        assert name in done.stdout


@pytest.mark.usefixtures("corpus")
def test_tokens_of_stored_features_need_no_forecast(tmp_path: Path) -> None:
    done = _run(_stage("tokenize", tmp_path, "--dry-run", f"paths.root={tmp_path / 'data'}"))
    assert done.returncode == 1
    assert "forecast of tokenize: expected source=audio" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="needs the right to mount a small disk")
@pytest.mark.usefixtures("corpus")
def test_a_disk_that_is_too_small_is_told_before_it_fills(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    places = [f"paths.root={disk / 'data'}", f"runtime.work={disk / 'work'}"]
    mounted = f'mount -t tmpfs -o size=2m tmpfs {disk} && exec "$@"'

    def on_small_disk(*typed: str) -> subprocess.CompletedProcess[str]:
        return _run(
            [*ALONE, "sh", "-c", mounted, "sh", *_stage("extract", tmp_path, *places, *typed)]
        )

    forecast = on_small_disk("forecast=true")
    assert forecast.returncode == 1
    assert "store fbank/train" in forecast.stdout
    assert f"StoreError: disk of {disk / 'data'}" in forecast.stderr
    assert "bytes free, got 2,0" in forecast.stderr
    run = on_small_disk()
    assert run.returncode == 1
    [warning] = [line for line in run.stderr.splitlines() if line.startswith("the disk of ")]
    error = run.stderr.splitlines()[-1]
    assert warning.startswith(f"the disk of {disk / 'work'}")
    assert "will fill: at least 4," in warning
    assert error.startswith("StoreError: ")


def test_no_run_is_warned_of_a_disk_that_suffices(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_extraction(corpus, tmp_path / "out", num_workers=None)
    assert not caplog.records


def test_a_store_that_holds_something_else_is_refused_at_once(corpus: Path, tmp_path: Path) -> None:
    with StoreBuilder(tmp_path / "out" / "fbank" / "dev") as builder:
        builder.complete(
            StoreHeader(
                name="fbank", dtype="float32", shape=(20,), fingerprint="other", provenance={}
            )
        )
        builder.publish()
    job = _job(corpus, tmp_path / "out")
    with pytest.raises(StoreError, match="was made in another way"):
        job.refuse_in_vain(Reuse())
    job.refuse_in_vain(Reuse(overwrite=True))
