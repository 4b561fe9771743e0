"""Printed forecast of a stage (`--dry-run`): what a run will take, without running it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from featbank.base.amounts import amount, times_real_time
from featbank.base.printing import print_note, size_text
from featbank.base.progress import close_display
from featbank.base.tables import print_facts
from featbank.engine.forecast.advice import advice, hours
from featbank.engine.forecast.forecasting import NO_RATES, Forecast, forecast_run
from featbank.engine.forecast.rates import read_rates
from featbank.engine.forecast.timing import TimedSample
from featbank.engine.job import Job
from featbank.engine.run import Reuse
from featbank.files.disk import UNTOLD
from featbank.pipeline.dvc_previous import previous_output
from featbank.pipeline.sections import Runtime

_log = logging.getLogger(__name__)

_NAMED_FAILURES = 10


def print_forecast(job: Job, reuse: Reuse, runtime: Runtime) -> None:
    """Print what a run of a stage will take; nothing is computed but a sample, nothing is kept.

    Args:
        job: what the run is to make.
        reuse: what it takes over, but for the previous output of DVC.
        runtime: says where measured rates are, and how fast an upload is.

    Raises:
        StoreError: a disk lacks room, or a store is there already that holds something else.
        FeatbankError: the run would end with it, or the table of rates is damaged.
    """
    job.refuse_in_vain(reuse)
    rates = read_rates(runtime.rates) if runtime.rates.exists() else NO_RATES
    # a run may be at work: its links to the previous output are not touched
    with (
        tempfile.TemporaryDirectory(prefix="featbank-") as links,
        previous_output(job.out, Path(links)) as previous,
    ):
        forecast = forecast_run(job, replace(reuse, previous=previous), rates=rates)
    close_display()
    print_facts(facts(forecast, runtime), title=f"{job.out}: what a run will take")
    for line in advice(forecast):
        print_note(f"warning: {line}")
    for disk in forecast.disks:
        disk.check()


def facts(forecast: Forecast, runtime: Runtime | None = None) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a forecast, as they are printed."""
    yield "utterances", f"{forecast.num_utterances:,}, {hours(forecast.audio_s)} of audio"
    if forecast.num_too_short:
        yield "too short for a frame", f"{forecast.num_too_short:,}, which fail"
    yield "to compute", f"{forecast.num_left:,}, {hours(forecast.left_s)} of audio"
    if forecast.num_left:
        if forecast.sample is not None:
            yield from _sampled(forecast.sample)
        yield from _speeds(forecast, runtime)
        if forecast.sample is not None:
            yield from _memory(forecast.sample)
        yield "longest utterance", f"{amount(forecast.longest_s, 1)} s"
    yield from _sizes(forecast, runtime)


def _speeds(forecast: Forecast, runtime: Runtime | None) -> Iterator[tuple[str, str]]:
    for speed in forecast.speeds:
        yield "a worker", f"{times_real_time(speed.real_time_factor)}, {speed.told}"
        if speed.decoding_factor is not None:
            decoded = f"{speed.num_decoders:,}, {times_real_time(speed.decoding_factor)}"
            yield "its decoders", f"{decoded} over this corpus"
        took = hours(3600 * forecast.hours_at(speed))
        yield "computing", f"{took}, if workers do not hinder each other"
        if forecast.on_gpu:
            yield "GPU-hours", amount(forecast.hours_at(speed) * forecast.num_busy, 1)
    if not forecast.speeds and forecast.on_gpu and forecast.sample is None:
        if runtime and not runtime.rates.exists():
            table = f"there is no table of rates {runtime.rates}"
        else:
            table = f"{runtime.rates if runtime else 'no table'} has no rate of this extractor"
        yield (
            "a worker",
            f"unknown: this process sees no GPU, and {table}; start the "
            "dry run where there is a GPU, or have `python -m benchmarks.gpu --rates FILE` measure",
        )
    yield (
        "tasks",
        f"{forecast.num_tasks:,} of about {amount(forecast.task_s)} s of audio; "
        f"workers: {forecast.num_workers:,}, shards to make: {forecast.num_shards:,}",
    )


def _sampled(sample: TimedSample) -> Iterator[tuple[str, str]]:
    cut = f", {sample.num_cut:,} of them cut short" if sample.num_cut else ""
    batches = f" in {sample.num_batches:,} batches" if sample.num_batches else ""
    yield (
        "sample",
        f"{sample.num_utterances:,} utterances{batches}{cut}: {amount(sample.audio_s, 1)} s of "
        f"audio in {amount(sample.seconds, 1)} s, by one process of this machine",
    )
    if sample.failures:
        yield "failures in the sample", f"{len(sample.failures):,}"
    for failure in sample.failures[:_NAMED_FAILURES]:
        yield f"  {failure.id}", f"{failure.kind}: {failure.error}"


def _memory(sample: TimedSample) -> Iterator[tuple[str, str]]:
    beyond = "" if sample.is_longest else ", and longer ones take more"
    yield (
        "memory of a worker",
        f"{_size(sample.peak_bytes)} in the sample, a long run takes some more; measured with "
        f"{amount(sample.longest_s, 1)} s of audio at once{beyond}",
    )
    if sample.device_bytes:
        yield "memory of its GPU", f"{_size(sample.device_bytes)} in the sample"


def _sizes(forecast: Forecast, runtime: Runtime | None) -> Iterator[tuple[str, str]]:
    for store in forecast.stores:
        bound = "at most " if store.at_most else ""
        yield f"store {store.name}/{store.split}", bound + _size(store.num_bytes)
    for disk in forecast.disks:
        bound = "up to " if disk.num_bytes > disk.least_bytes else ""
        yield (
            f"disk of {disk.folder}",
            f"{bound}{_size(disk.num_bytes)} more, "
            + (
                "what is free is not told"
                if disk.free_bytes == UNTOLD
                else f"{_size(disk.free_bytes)} are free"
            ),
        )
    if forecast.interim_bytes:
        yield "of that, for a time", f"{_size(forecast.interim_bytes)} of tasks not yet joined"
    bound = "at most " if any(store.at_most for store in forecast.stores) else ""
    sent = f"{bound}{_size(forecast.upload_bytes)} of new shards, by dvc push"
    yield "upload", sent + _taking(forecast, runtime)


def _taking(forecast: Forecast, runtime: Runtime | None) -> str:
    """Say how long an upload takes, where it was said how fast it is."""
    rate = runtime.upload_mb_per_s if runtime else None
    if rate is None:
        return ""
    return f": {hours(forecast.upload_bytes / (1e6 * rate))} at {amount(rate, 1)} MB/s"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.2f} GB" if num_bytes >= 1e9 else size_text(num_bytes)
