"""What the stages share that foretell a run instead of running: `preflight=true`, `--dry-run`."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from omegaconf import DictConfig

from featbank.base.amounts import amount, times_real_time
from featbank.base.printing import print_facts, size_text
from featbank.engine.forecast.forecasting import Forecast, preflight
from featbank.engine.forecast.probe import Sample
from featbank.engine.job import Job
from featbank.engine.space import UNTOLD
from featbank.pipeline.computing import computing_settings
from featbank.pipeline.dvc_outputs import previous_output

_log = logging.getLogger(__name__)

_JOB_SETTINGS = ("audio_root", "extractor", "computing", "storage", "trusted_modules")
_NAMED_FAILURES = 10


def foretell(
    config: DictConfig, out: Path, name: str, make_job: Callable[..., Job], *, strict: bool
) -> None:
    """Print what a run of a stage will take; nothing is computed but a sample, nothing is kept.

    Args:
        config: of the stage.
        out: of the stores to be.
        name: of the run.
        make_job: takes `out` and the settings of the extractor.
        strict: take nothing over from machines of another numerics class.

    Raises:
        StoreError: a disk lacks room, or a store is there already that holds something else.
        FeatbankError: the run would end with it.
    """
    settings = computing_settings(config, name, lambda _: None)
    job = make_job(out=out, **{key: settings[key] for key in _JOB_SETTINGS})
    job.refuse_other_content(overwrite=config.overwrite)
    job.refuse_without_gpu(settings["runner"], strict=strict)
    # a run may be at work: its links to the previous output are not touched
    with (
        tempfile.TemporaryDirectory(prefix="featbank-") as links,
        previous_output(out, Path(links)) as previous,
    ):
        forecast = preflight(
            job,
            manifests=Path(config.paths.manifests),
            runner=settings["runner"],
            work=settings["work"],
            previous=previous,
            strict=strict,
            anew=config.overwrite,
        )
    print_facts(facts(forecast), title=f"{out}: what a run will take")
    for disk in forecast.disks:
        disk.check()


def facts(forecast: Forecast) -> Iterator[tuple[str, str]]:
    """Give the names and values that a forecast is printed as."""
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


def _measured(forecast: Forecast, sample: Sample) -> Iterator[tuple[str, str]]:
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
