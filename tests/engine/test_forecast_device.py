"""Forecasts where workers have a device: batches, rates, decoders, and what is warned of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from featbank.base.amounts import amount
from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.engine.extract import feature_job
from featbank.engine.forecast.advice import advice
from featbank.engine.forecast.decoding import DecodedKind, TimedDecoding
from featbank.engine.forecast.drawing import BatchSample
from featbank.engine.forecast.forecasting import Forecast, forecast_run
from featbank.engine.forecast.interim import WaitingBytes
from featbank.engine.forecast.kinds import AudioKind, AudioLeft
from featbank.engine.forecast.rates import MeasuredRate, RateTable, add_rates, cost_digest
from featbank.engine.forecast.remaining import Remaining
from featbank.engine.forecast.speed import Decoders, Speed, known_speed
from featbank.engine.job import Job
from featbank.engine.run import Reuse
from featbank.errors import FeatbankError
from featbank.features.shapes import BatchShape
from featbank.files.provenance import file_sha256
from featbank.numerics import Computing
from featbank.pipeline.forecast import facts, print_forecast
from featbank.pipeline.sections import Runtime
from tests.extracting import demo_run
from tests.runners.workers import InThisProcess

TINY: dict[str, Any] = {
    "extractor": {"_target_": "tests.tiny_encoder.TinyEncoder"},
    "storage": [{"name": "low"}, {"name": "high", "dtype": "float16"}],
    "trusted_modules": ["tests"],
}

pytestmark = pytest.mark.usefixtures("one_thread")

ON_A_GPU = Computing(device="cuda")
RATE = MeasuredRate(
    option="wavlm", extractor="", device="NVIDIA H200", machine="16 cores", date="2026-11-30",
    batch_s=480, num_decoders=8, real_time_factor=5000, computing_factor=6000,
    decoding_factor=3000, stored_bytes_per_s=1e8,
)  # fmt: skip


def _job(root: Path, out: Path, **changes: Any) -> Job:
    return feature_job(demo_run(root, **{**TINY, **changes}), out)


def _row(name: str, *, start_s: float = 0, seconds: float = 10, rate: int = 16_000) -> Utterance:
    return Utterance(
        id=f"{name}-{start_s}", audio=name, audio_digest="", sample_rate=rate,
        start_sample=round(start_s * rate), num_samples=round(seconds * rate),
    )  # fmt: skip


def _runtime(rates: Path, upload_mb_per_s: float | None = None) -> Runtime:
    return Runtime(
        progress=None, records=Path(), checks=Path(), stability=Path(), certificates=Path(),
        drift=Path(), failures=Path(), work=Path(), scans=Path(), rates=rates,
        upload_mb_per_s=upload_mb_per_s,
    )  # fmt: skip


def _without_gpu(job: Job, rates: RateTable, monkeypatch: pytest.MonkeyPatch) -> Forecast:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    return forecast_run(job, sample_s=1.0, rates=rates)


def test_a_sample_of_a_device_is_of_whole_batches_through_the_worker(
    corpus: Path, tmp_path: Path
) -> None:
    job = _job(corpus, tmp_path / "out", computing=Computing(batch_s=15, num_decoders=2))
    drawn = Remaining(job, job.plan()).drawn
    assert {len(batch.rows) for batch in drawn if batch.shape} != {1}
    assert len({batch.shape for batch in drawn}) > 1
    forecast = forecast_run(job, sample_s=30.0)
    assert forecast.sample is not None
    assert 0 < forecast.sample.num_batches <= len(drawn)
    assert forecast.sample.failures == []
    [speed] = forecast.speeds
    assert (speed.device, speed.num_decoders) == ("cpu", 2)
    assert speed.decoding_factor is not None
    assert not list((tmp_path / "work").rglob("*.h5"))


def test_batches_are_drawn_by_the_share_of_their_shape_in_the_audio() -> None:
    short, long = BatchShape(rows=4, samples=16_000), BatchShape(rows=2, samples=160_000)
    sample = BatchSample(lambda row: long if row.duration_s > 5 else short)
    for number in range(2000):
        sample.add("train", _row(f"{number}.flac", seconds=1))
    for number in range(200):
        sample.add("train", _row(f"long{number}.flac", seconds=10))
    batches = sample.batches
    assert {len(batch.rows) for batch in batches if batch.shape == short} == {4}
    assert {len(batch.rows) for batch in batches if batch.shape == long} == {2}
    seconds = {
        shape: sum(b.audio_s for b in batches if b.shape == shape) for shape in (short, long)
    }
    assert [batch.shape for batch in batches].count(short) == 48  # half of the audio, of 96
    assert [batch.shape for batch in batches].count(long) == 48
    first = [batch.shape for batch in batches[:10]]
    assert abs(first.count(short) - first.count(long)) <= 2
    assert seconds[short] == 48 * 4


def test_without_a_gpu_here_the_hours_are_those_of_the_table_for_each_of_its_devices(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _job(corpus, tmp_path / "out", computing=ON_A_GPU, runner=InThisProcess(4))
    known = replace(RATE, extractor=cost_digest(job.extractor))
    rates = RateTable(
        (
            replace(known, device="NVIDIA L4", real_time_factor=500, computing_factor=600),
            known,
            replace(known, device="cpu", real_time_factor=1e6),
            replace(RATE, extractor="of another"),
        )
    )
    forecast = _without_gpu(job, rates, monkeypatch)
    assert forecast.sample is None
    assert [speed.device for speed in forecast.speeds] == ["NVIDIA H200", "NVIDIA L4"]
    fast, slow = forecast.speeds
    assert slow.real_time_factor == 500
    assert forecast.hours_at(slow) == pytest.approx(forecast.left_s / 500 / 4 / 3600)
    printed = list(facts(forecast))
    assert dict(printed)["GPU-hours"] == amount(forecast.left_s / 500 / 3600, 1)
    workers = [said for name, said in printed if name == "a worker"]
    assert "on NVIDIA H200, measured 2026-11-30 with 16 cores, in batches of 480 s" in workers[0]
    assert fast.real_time_factor <= 5000


def test_where_nobody_measured_the_hours_on_a_gpu_are_unknown_and_never_those_of_a_cpu(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _job(corpus, tmp_path / "out", computing=ON_A_GPU, runner=InThisProcess(4))
    on_cpu = replace(RATE, extractor=cost_digest(job.extractor), device="cpu")
    forecast = _without_gpu(job, RateTable((on_cpu,)), monkeypatch)
    assert (forecast.sample, forecast.speeds, forecast.hours) == (None, [], None)
    printed = dict(facts(forecast))
    assert printed["a worker"].startswith("unknown: this process sees no GPU")
    assert "computing" not in printed
    assert "GPU-hours" not in printed
    assert "store low/train" in printed


def test_a_stage_prints_the_hours_of_the_table_that_it_is_told_of(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = _job(corpus, tmp_path / "out", computing=ON_A_GPU, runner=InThisProcess(1))
    add_rates(tmp_path / "rates.json", [replace(RATE, extractor=cost_digest(job.extractor))])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    print_forecast(job, Reuse(), _runtime(tmp_path / "rates.json"))
    printed = capsys.readouterr().out
    assert "on NVIDIA H200, measured 2026-11-30" in printed
    assert "GPU-hours" in printed
    (tmp_path / "rates.json").write_text("{}")
    with pytest.raises(FeatbankError, match=r"table of rates .*rates\.json"):
        print_forecast(job, Reuse(), _runtime(tmp_path / "rates.json"))
    (tmp_path / "rates.json").unlink()
    print_forecast(job, Reuse(), _runtime(tmp_path / "rates.json"))
    printed = " ".join(capsys.readouterr().out.replace("\u2502", " ").split())
    assert "there is no table of rates" in printed


def test_a_rate_at_the_size_of_batches_that_a_run_names_goes_before_a_faster_one(
    corpus: Path, tmp_path: Path
) -> None:
    extractor = _job(corpus, tmp_path / "out").extractor
    known = replace(RATE, extractor=cost_digest(extractor))
    small = replace(known, batch_s=30, real_time_factor=900)
    table = RateTable((known, small))
    assert table.fastest(extractor) == [known]
    assert table.fastest(extractor, 30) == [small]
    assert table.fastest(extractor, 60) == [known]


def test_decoders_that_are_slower_than_the_device_hold_a_run_up_and_are_named() -> None:
    fast = known_speed(RATE, Decoders(factor=6000, num_threads=2), None)
    assert (fast.decoding_factor, fast.is_starved) == (24_000, False)  # 8 threads of 3,000
    assert fast.real_time_factor == 5000
    slow = known_speed(RATE, Decoders(factor=500, num_threads=2), None)
    assert (slow.decoding_factor, slow.real_time_factor, slow.is_starved) == (2000, 2000, True)
    more = known_speed(RATE, Decoders(factor=500, num_threads=2), 32)
    assert (more.real_time_factor, more.is_starved) == (5000, False)
    unknown = known_speed(RATE, Decoders(), None)
    assert (unknown.real_time_factor, unknown.is_starved) == (5000, False)


def _forecast(
    rows: Sequence[Utterance], decoded: dict[str, DecodedKind], **changes: Any
) -> Forecast:
    """A forecast of these rows in one task, on a CPU and by one worker unless told otherwise."""
    left = AudioLeft()
    left.add(("train", row) for row in rows)
    kinds = {kind: decoded[kind.suffix] for kind in left if kind.suffix in decoded}
    seconds = sum(row.duration_s for row in rows)
    values: dict[str, Any] = {
        "num_utterances": len(rows), "audio_s": seconds, "num_too_short": 0,
        "num_left": len(rows), "left_s": seconds, "longest_s": 10.0, "resampled_s": 0.0,
        "target_rate": 16_000, "audio": left, "num_shards": 1, "num_tasks": 1,
        "num_workers": 1, "batch_s": 0, "on_gpu": False, "sample": None,
        "decoding": TimedDecoding(num_threads=2, kinds=kinds),
        "speeds": [], "stores": [], "disks": [],
        "interim_bytes": 0, "upload_bytes": 10_000_000, "rewriting": None,
    }  # fmt: skip
    return Forecast(**{**values, **changes})


def test_segments_of_files_that_cannot_seek_are_told_with_the_hours_decoded_for_them() -> None:
    segments = [_row("a.m4a", start_s=start) for start in (600, 1200, 3590)]
    [line] = advice(_forecast(segments, {".m4a": DecodedKind(can_seek=False)}))
    assert line.startswith(".m4a of 16,000 Hz cannot seek: for 30.0 s of its segments at least ")
    assert " 1.0 h are decoded" in line
    assert "convert to FLAC" in line
    assert not list(advice(_forecast(segments, {".m4a": DecodedKind(can_seek=True)})))
    whole = [_row(f"{name}.m4a") for name in "abc"]
    assert not list(advice(_forecast(whole, {".m4a": DecodedKind(can_seek=False)})))


def test_the_slowest_kind_is_named_where_a_device_waits_for_audio() -> None:
    rows = [_row("a.mp3"), _row("b.flac")]
    speed = Speed(
        device="NVIDIA H200", real_time_factor=900, decoding_factor=1000, device_factor=6000,
        num_decoders=2, batch_s=0, origin="",
    )  # fmt: skip
    decoded = {
        ".mp3": DecodedKind(can_seek=True, real_time_factor=300),
        ".flac": DecodedKind(can_seek=True, real_time_factor=2700),
    }
    forecast = _forecast(rows, decoded, speeds=[speed], on_gpu=True)
    assert forecast.decoding is not None
    assert forecast.decoding.real_time_factor(forecast.audio) == pytest.approx(540)
    [line] = advice(forecast)
    assert line.startswith("NVIDIA H200 waits for audio: 2 decoders of a worker give 1,000 x real")
    assert "it could take 6,000 x real time, 90% of that time for .mp3 of 16,000 Hz" in line
    enough = replace(speed, decoding_factor=7000.0)
    assert not list(advice(replace(forecast, speeds=[enough])))


def test_what_is_resampled_and_who_has_nothing_to_do_is_told() -> None:
    rows = [_row("a.wav", rate=44_100), _row("b.wav")]
    resampled, idle = advice(_forecast(rows, {}, resampled_s=10.0, num_workers=8))
    assert resampled.startswith("10.0 s of audio (50%) are resampled to 16,000 Hz")
    assert idle.startswith("8 workers have 1 tasks: 7 idle; start fewer")
    assert not list(advice(_forecast(rows, {}, num_left=0, resampled_s=10.0, num_workers=8)))


def test_an_upload_takes_hours_only_where_it_is_said_how_fast_it_is() -> None:
    forecast = _forecast([_row("a.wav")], {}, upload_bytes=36_000_000_000)
    sent = "36.00 GB of new shards, by dvc push"
    assert dict(facts(forecast))["upload"] == sent
    assert dict(facts(forecast, _runtime(Path(), 5.0)))["upload"] == f"{sent}: 2.0 h at 5.0 MB/s"


def test_the_windows_that_are_open_at_a_time_have_their_interim_shards_on_the_disk() -> None:
    waiting = WaitingBytes(2)
    for num_bytes in (5, 1, 7, 2):
        waiting.add(num_bytes)
    assert waiting.most == 9
    assert WaitingBytes(2).most == 0


def test_the_disk_of_a_window_is_forecast(corpus: Path, tmp_path: Path) -> None:
    together = Computing(batch_s=15)
    whole = _job(corpus, tmp_path / "out", runner=InThisProcess(2), computing=together)
    remaining = Remaining(whole, whole.plan())
    # all is one window, whose tasks hold the values that the stores will hold, and some more
    # than that in headers
    stores = sum(store.num_bytes for store in remaining.stores)
    assert stores < remaining.interim_bytes < 3 * stores
    [disk] = remaining.disks(2)
    assert disk.num_bytes == stores + remaining.interim_bytes


def test_a_corpus_of_mp3_segments_is_measured_by_the_kind_of_its_files(
    corpus: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 60 * 22_050).astype(np.float32)
    soundfile.write(corpus / "long.mp3", noise, 22_050)
    soundfile.write(corpus / "long.ogg", noise, 22_050, subtype="VORBIS")
    for path in (tmp_path / "manifests").glob("*.jsonl"):
        write_manifest(path, [] if path.stem != "train" else read_manifest(path)[:2])
    manifest = tmp_path / "manifests" / "train.jsonl"
    segments = [
        replace(
            _row(f"long.{kind}", start_s=start, seconds=4, rate=22_050),
            audio_digest=f"sha256:{file_sha256(corpus / f'long.{kind}')}",
        )
        for kind in ("mp3", "ogg")
        for start in (0, 20, 50)
    ]
    rows = sorted([*read_manifest(manifest), *segments], key=lambda row: row.id)
    write_manifest(manifest, rows)
    job = _job(corpus, tmp_path / "out", computing=Computing(batch_s=15, num_decoders=2))
    forecast = forecast_run(job, sample_s=2.0)
    assert forecast.decoding is not None
    found = {kind.suffix: one for kind, one in forecast.decoding.kinds.items()}
    assert (found[".mp3"].can_seek, found[".ogg"].can_seek) == (True, False)
    assert all(one.real_time_factor for one in found.values())
    told = list(advice(forecast))
    assert any(line.startswith(".ogg of 22,050 Hz cannot seek: for 12.0 s") for line in told)
    assert any(line.startswith("24.0 s of audio") and "resampled" in line for line in told)
    assert not any(".mp3 of 22,050 Hz cannot seek" in line for line in told)
    assert AudioKind(suffix=".ogg", sample_rate=22_050) in forecast.audio


def test_the_demo_on_the_cpu_is_not_held_against_decoders(corpus: Path, tmp_path: Path) -> None:
    forecast = forecast_run(_job(corpus, tmp_path / "out"), sample_s=1.0)
    assert forecast.decoding is None


def test_a_rate_of_other_batches_than_those_of_the_run_says_so() -> None:
    speed = known_speed(RATE, Decoders(), None)
    [line] = advice(_forecast([_row("a.wav")], {}, speeds=[speed], on_gpu=True, batch_s=120.0))
    assert line.startswith("NVIDIA H200 was measured with 480 s computed together, and this run")
    assert "batch_s=480" in line
    assert not list(advice(_forecast([_row("a.wav")], {}, speeds=[speed], batch_s=480.0)))
