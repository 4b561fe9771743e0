"""Forecast a run: hours, disk and memory, from its manifests and a small timed sample."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from featbank.engine.forecast.remaining import Remaining, StoreSize
from featbank.engine.forecast.timing import SampleTimer, TimedSample, TimingTask
from featbank.engine.job import Job
from featbank.engine.run import WHAT_FITS, Reuse
from featbank.engine.space import DiskNeed
from featbank.runners.local import LocalRunner

SAMPLE_S = 20.0
"""Wall-clock seconds for the sample; the longest utterance takes up to as many again."""


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
        num_tasks: shards that workers have to make, one at a time each.
        num_workers: that a run would have at a time.
        sample: what was measured; None where nothing is to be computed.
        stores: their sizes.
        disks: what is added to them.
    """

    num_utterances: int
    audio_s: float
    num_too_short: int
    num_left: int
    left_s: float
    longest_s: float
    num_tasks: int
    num_workers: int
    sample: TimedSample | None
    stores: Sequence[StoreSize]
    disks: Sequence[DiskNeed]

    @property
    def hours(self) -> float | None:
        """Wall-clock hours of all workers, if none hinders another; None where nobody knows."""
        if self.sample is None:
            return 0.0
        factor = self.sample.real_time_factor
        busy = max(1, min(self.num_workers, self.num_tasks))
        return None if factor is None else self.left_s / factor / busy / 3600


def forecast_run(job: Job, reuse: Reuse = WHAT_FITS, *, sample_s: float = SAMPLE_S) -> Forecast:
    """Forecast what a run will take; nothing is left behind, and no lock is taken.

    Args:
        job: what the run is to make. Its runner is asked for its number of workers alone: the
            sample is computed by one process of this machine.
        reuse: what the run takes over.
        sample_s: wall-clock seconds for the sample.

    Raises:
        FeatbankError: the run would end with it: a worker dies, a cluster has no room for the
            workers.
    """
    num_workers = job.run.runner.count_workers()
    plan = job.plan(reuse)
    with tempfile.TemporaryDirectory(prefix="featbank-") as temporary:
        remaining = Remaining(job, plan)
        sample = None
        if remaining.longest is not None:
            task = TimingTask(
                rows=remaining.drawn,
                longest=remaining.longest,
                work=Path(temporary),
                limit_s=sample_s,
            )
            make_timer = functools.partial(SampleTimer, job.make_worker)
            one = LocalRunner(num_workers=1, max_retries=0)
            with closing(one.run(make_timer, [task], lambda _: None)) as samples:
                [sample] = samples
    splits = plan.rows.values()
    return Forecast(
        num_utterances=sum(rows.num_utterances for rows in splits),
        audio_s=sum(rows.duration_s for rows in splits),
        num_too_short=sum(len(rows.too_short) for rows in splits),
        num_left=remaining.num_left,
        left_s=remaining.left_s,
        longest_s=remaining.longest[1].duration_s if remaining.longest else 0.0,
        num_tasks=remaining.num_tasks,
        num_workers=num_workers,
        sample=sample,
        stores=remaining.stores,
        disks=remaining.disks(num_workers),
    )
