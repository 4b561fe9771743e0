"""Printed forecast of a stage (`--dry-run`): what a run will take, without running it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from featbank.base.amounts import amount, times_real_time
from featbank.base.printing import print_facts, size_text
from featbank.engine.forecast.forecasting import Forecast, forecast_run
from featbank.engine.forecast.timing import TimedSample
from featbank.engine.job import Job
from featbank.engine.run import Reuse
from featbank.engine.space import UNTOLD
from featbank.pipeline.dvc_outputs import previous_output

_log = logging.getLogger(__name__)

_NAMED_FAILURES = 10


def print_forecast(job: Job, reuse: Reuse) -> None:
    """Print what a run of a stage will take; nothing is computed but a sample, nothing is kept.

    Args:
        job: what the run is to make.
        reuse: what it takes over, but for the previous output of DVC.

    Raises:
        StoreError: a disk lacks room, or a store is there already that holds something else.
        FeatbankError: the run would end with it.
    """
    job.refuse_in_vain(reuse)
    # a run may be at work: its links to the previous output are not touched
    with (
        tempfile.TemporaryDirectory(prefix="featbank-") as links,
        previous_output(job.out, Path(links)) as previous,
    ):
        forecast = forecast_run(job, replace(reuse, previous=previous))
    print_facts(facts(forecast), title=f"{job.out}: what a run will take")
    for disk in forecast.disks:
        disk.check()


def facts(forecast: Forecast) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a forecast, as they are printed."""
    yield "utterances", f"{forecast.num_utterances:,}, {_hours(forecast.audio_s)} of audio"
    if forecast.num_too_short:
        yield "too short for a frame", f"{forecast.num_too_short:,}, which fail"
    yield "to compute", f"{forecast.num_left:,}, {_hours(forecast.left_s)} of audio"
    if forecast.sample is not None:
        yield from _measured(forecast, forecast.sample)
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


def _measured(forecast: Forecast, sample: TimedSample) -> Iterator[tuple[str, str]]:
    cut = f", {sample.num_cut:,} of them cut short" if sample.num_cut else ""
    yield (
        "sample",
        f"{sample.num_utterances:,} utterances{cut}: {amount(sample.audio_s, 1)} s of audio in "
        f"{amount(sample.seconds, 1)} s, by one process of this machine",
    )
    if sample.failures:
        yield "failures in the sample", f"{len(sample.failures):,}"
    for failure in sample.failures[:_NAMED_FAILURES]:
        yield f"  {failure.id}", f"{failure.kind}: {failure.error}"
    if sample.real_time_factor is not None and forecast.hours is not None:
        yield "a worker", times_real_time(sample.real_time_factor)
        yield (
            "computing",
            f"{_hours(3600 * forecast.hours)}, if workers do not hinder each other; "
            f"workers: {forecast.num_workers}, shards to make: {forecast.num_tasks:,}",
        )
    beyond = "" if sample.is_longest else ", and longer ones take more"
    yield (
        "memory of a worker",
        f"{_size(sample.peak_bytes)} in the sample, a long run takes some more; measured with "
        f"{amount(sample.longest_s, 1)} s of audio at once{beyond}",
    )
    yield "longest utterance", f"{amount(forecast.longest_s, 1)} s"


def _hours(seconds: float) -> str:
    return f"{amount(seconds / 3600, 1)} h" if seconds >= 3600 else f"{amount(seconds, 1)} s"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.2f} GB" if num_bytes >= 1e9 else size_text(num_bytes)
