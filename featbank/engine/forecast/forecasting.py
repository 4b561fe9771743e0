"""Forecast a run: hours, disk and memory, from its manifests and what is known of its speed."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featbank.base.notices import tell
from featbank.base.processors import usable_processors
from featbank.engine.forecast.decoding import DecodingTask, DecodingTimer, TimedDecoding
from featbank.engine.forecast.kinds import AudioKind, KindLeft
from featbank.engine.forecast.rates import RateTable, device_name
from featbank.engine.forecast.remaining import Remaining, StoreSize
from featbank.engine.forecast.speed import Decoders, Speed, known_speed, timed_speed
from featbank.engine.forecast.timing import SampleTimer, TimedSample, TimingTask
from featbank.engine.job import Job
from featbank.engine.run import WHAT_FITS, Reuse
from featbank.engine.space import DiskNeed
from featbank.numerics import CPU
from featbank.runners.base import Worker
from featbank.runners.local import LocalRunner

SAMPLE_S = 20.0
"""Wall-clock seconds for the sample; the longest utterance takes up to as many again."""

_DECODING_SHARE = 0.25  # of that, for the decoders alone
NO_RATES = RateTable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The hours, disk and memory that a run is expected to take.

    Args:
        num_utterances: of the corpus.
        audio_s: of all of them, in seconds.
        num_too_short: of them, which fail.
        num_left: utterances to compute: neither finished before, nor in a previous store.
        left_s: of these, in seconds.
        longest_s: the longest of these, in seconds.
        resampled_s: of these, whose files have another rate than the extractor, in seconds.
        target_rate: of the extractor, in Hz.
        audio: of these, by the kind of their files.
        num_shards: that workers have to make.
        num_tasks: into which that is cut, of which a worker has one in hands at a time.
        num_workers: that a run would have at a time.
        batch_s: seconds of audio that they compute together.
        on_gpu: whether they compute on GPUs.
        sample: what was measured; None where nothing is to be computed, or there is no such device.
        decoding: how files decode here; None where that was not looked at.
        speeds: that a worker is expected to have: the one that was timed or, without a GPU here,
            one for each device that was measured once. None where nobody knows.
        stores: their sizes.
        disks: what is added to them.
        interim_bytes: of that, what waits at a time to be joined into shards, at most.
        upload_bytes: of the stores, which no previous store has.
        rewriting: why so much of them has to be sent again; None where it is little.
    """

    num_utterances: int
    audio_s: float
    num_too_short: int
    num_left: int
    left_s: float
    longest_s: float
    resampled_s: float
    target_rate: int
    audio: Mapping[AudioKind, KindLeft]
    num_shards: int
    num_tasks: int
    num_workers: int
    batch_s: float
    on_gpu: bool
    sample: TimedSample | None
    decoding: TimedDecoding | None
    speeds: Sequence[Speed]
    stores: Sequence[StoreSize]
    disks: Sequence[DiskNeed]
    interim_bytes: int
    upload_bytes: int
    rewriting: str | None

    @property
    def task_s(self) -> float:
        """Seconds of audio of a task, on average."""
        return self.left_s / max(1, self.num_tasks)

    @property
    def num_busy(self) -> int:
        """Workers that have something to do."""
        return max(1, min(self.num_workers, self.num_tasks))

    @property
    def hours(self) -> float | None:
        """Hours at the first of the speeds; None where nobody knows any."""
        if not self.num_left:
            return 0.0
        return self.hours_at(self.speeds[0]) if self.speeds else None

    def hours_at(self, speed: Speed) -> float:
        """Return wall-clock hours of all workers, if none hinders another."""
        return self.left_s / speed.real_time_factor / self.num_busy / 3600


def forecast_run(
    job: Job,
    reuse: Reuse = WHAT_FITS,
    *,
    sample_s: float = SAMPLE_S,
    rates: RateTable = NO_RATES,
) -> Forecast:
    """Forecast what a run will take; nothing is left behind, and no lock is taken.

    Args:
        job: what the run is to make. Its runner is asked for its number of workers alone: the
            sample is computed by one process of this machine, on its GPU where the run wants one.
        reuse: what the run takes over.
        sample_s: wall-clock seconds for the sample.
        rates: that were measured, for a run on GPUs that is forecast where there is none.

    Raises:
        FeatbankError: the run would end with it: a worker dies, a cluster has no room for the
            workers.
    """
    plan = job.plan(reuse)
    remaining = Remaining(job, plan)
    num_workers = remaining.num_workers
    decoding = sample = None
    if remaining.longest is not None:
        tell(phase="timing a sample")
        decoding = _decoded(job, remaining, _DECODING_SHARE * sample_s)
    if remaining.longest is not None and job.computing.sees_device:
        with tempfile.TemporaryDirectory(prefix="featbank-") as temporary:
            task = TimingTask(
                batches=remaining.drawn,
                longest=remaining.longest,
                work=Path(temporary),
                limit_s=sample_s,
            )
            sample = _by_a_process(functools.partial(SampleTimer, job.make_worker), task)
    splits = plan.rows.values()
    return Forecast(
        num_utterances=sum(rows.num_utterances for rows in splits),
        audio_s=sum(rows.duration_s for rows in splits),
        num_too_short=sum(len(rows.too_short) for rows in splits),
        num_left=remaining.num_left,
        left_s=remaining.left_s,
        longest_s=remaining.longest[1].duration_s if remaining.longest else 0.0,
        resampled_s=remaining.resampled_s,
        target_rate=job.extractor.framing.sample_rate,
        audio=remaining.audio,
        num_shards=remaining.num_shards,
        num_tasks=remaining.num_tasks,
        num_workers=num_workers,
        batch_s=job.computing.seconds_together,
        on_gpu=job.computing.device != CPU,
        sample=sample,
        decoding=decoding,
        speeds=_speeds(job, sample, _decoders(job, remaining, decoding, num_workers), rates),
        stores=remaining.stores,
        disks=remaining.disks(num_workers),
        interim_bytes=remaining.interim_bytes,
        upload_bytes=remaining.upload_bytes,
        rewriting=remaining.rewriting,
    )


def _by_a_process(make_worker: Callable[[], Worker[Any, Any]], task: Any) -> Any:
    """Have a process of its own do one task: what it loads is none of this one's."""
    one = LocalRunner(num_workers=1, max_retries=0)
    with closing(one.run(make_worker, [task], lambda _: None)) as results:
        [result] = results
    return result


def _decoded(job: Job, remaining: Remaining, limit_s: float) -> TimedDecoding | None:
    """Look at the files of each kind: their decoding is timed where a device waits for it.

    Elsewhere a thread decodes beside the computing, and only segments are looked at.
    """
    is_timed = job.computing.seconds_together > 0
    kinds = {
        kind: left.drawn.rows
        for kind, left in remaining.audio.items()
        if is_timed or left.segments_s
    }
    if not kinds:
        return None
    make_timer = functools.partial(
        DecodingTimer, str(job.run.corpus.audio_root), job.extractor.framing
    )
    num_threads = min(job.computing.decoders, usable_processors()) if is_timed else 0
    task = DecodingTask(kinds=kinds, num_threads=num_threads, limit_s=limit_s)
    found: TimedDecoding = _by_a_process(make_timer, task)
    return found


def _decoders(
    job: Job, remaining: Remaining, decoding: TimedDecoding | None, num_workers: int
) -> Decoders:
    """Return what decoders give a worker: of local ones each has its share of the processors."""
    if decoding is None or not decoding.num_threads:
        return Decoders()
    share = 1.0
    if isinstance(job.run.runner, LocalRunner):
        share = min(1.0, usable_processors() / (num_workers * decoding.num_threads))
    return Decoders(
        factor=decoding.real_time_factor(remaining.audio),
        num_threads=decoding.num_threads,
        share=share,
    )


def _speeds(
    job: Job, sample: TimedSample | None, decoders: Decoders, rates: RateTable
) -> list[Speed]:
    """Return the speeds to expect: never that of a CPU for a GPU."""
    together_s = job.computing.seconds_together
    if sample is not None:
        speed = timed_speed(sample, device_name(job.computing.device), decoders, together_s)
        return [speed] if speed else []
    if job.computing.sees_device:
        return []  # nothing to compute
    return [
        known_speed(rate, decoders, job.computing.num_decoders)
        for rate in rates.fastest(job.extractor, together_s)
        if rate.device != CPU
    ]
