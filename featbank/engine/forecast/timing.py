"""Time a small sample of utterances, computed as a real worker computes them."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from featbank.base.failures import Failure
from featbank.base.manifest import Utterance
from featbank.base.progress import Advance
from featbank.engine.rows import num_samples
from featbank.engine.tasks import Workload, shard_task
from featbank.engine.worker import ShardWorker

Row = tuple[str, Utterance]
"""A split and an utterance of it."""

_ENOUGH_S = 3600.0  # of audio: more of it makes no estimate better


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingTask:
    """The utterances to time, and for how long.

    Args:
        rows: to time, drawn by chance; at least one.
        longest: the utterance that needs most memory.
        work: folder for what is computed.
        limit_s: of wall-clock time for the rows, and about as much again for the longest.
    """

    rows: Sequence[Row]
    longest: Row
    work: Path
    limit_s: float


@dataclass(slots=True, kw_only=True)
class TimedSample:
    """The time and memory that a sample of utterances took.

    Attributes:
        num_utterances: that were timed.
        num_cut: of which only the beginning was computed, for all of it takes too long.
        audio_s: that was computed, in seconds, failures apart.
        seconds: of wall-clock time it took, after a first utterance that is not counted.
        failures: of these utterances.
        longest_s: the longest audio that was computed at once, to see its memory, in seconds.
        is_longest: no utterance gives more at once: longer ones are computed in windows.
        peak_bytes: the greatest resident memory of the process. A whole run takes some more, for
            memory that is freed in pieces of many lengths is not all used again: 1.63 GB against
            1.41 GB, WavLM base over the demo corpus.
    """

    num_utterances: int = 0
    num_cut: int = 0
    audio_s: float = 0.0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    longest_s: float = 0.0
    is_longest: bool = True
    peak_bytes: int = 0

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of audio in a second; None where every utterance failed."""
        return self.audio_s / self.seconds if self.audio_s else None


class SampleTimer:
    """Has a worker make shards of a sample, which are dropped, and measures that.

    Args:
        make_worker: as a run calls it.
    """

    def __init__(self, make_worker: Callable[[], ShardWorker[Any]]) -> None:
        self._worker = make_worker()

    def __call__(self, task: TimingTask, _: Advance) -> TimedSample:
        """Time the rows in rising numbers while there is time, then compute the longest one."""
        rate = self._warm_up(task)
        found = TimedSample()
        rows = list(task.rows)
        size = 1  # small shards cost more a row, so most of the sample is in a large one
        while rows and found.seconds < task.limit_s and found.audio_s < _ENOUGH_S:
            room_s = rate * (task.limit_s - found.seconds)
            longest_s = rate * task.limit_s / 4
            chunk = _fitting([self._cut(row, longest_s) for row in rows[:size]], room_s)
            if not chunk:
                break
            found.num_cut += sum(
                new[1] is not old[1] for new, old in zip(chunk, rows, strict=False)
            )
            rows = rows[len(chunk) :]
            audio_s, seconds, failures = self._made(chunk, task.work)
            found.num_utterances += len(chunk)
            found.audio_s += audio_s
            found.seconds += seconds
            found.failures += failures
            rate = found.real_time_factor or rate
            size *= 2
        at_once = self._cut(task.longest, math.inf, at_once=True)
        longest = self._cut(at_once, rate * task.limit_s)
        self._made([longest], task.work)
        found.longest_s = longest[1].duration_s
        found.is_longest = longest is at_once
        found.peak_bytes = _peak_bytes()
        return found

    def _warm_up(self, task: TimingTask) -> float:
        """Compute one utterance, the shortest that does not fail; return its real time factor."""
        rate = 1.0
        for row in sorted(task.rows, key=lambda row: row[1].duration_s):
            _, seconds, failures = self._made([row], task.work)
            rate = row[1].duration_s / seconds
            if not failures:
                break
        return rate

    def _made(self, rows: Iterable[Row], work: Path) -> tuple[float, float, list[Failure]]:
        """Make and drop shards; return seconds of audio computed, seconds taken, and failures."""
        audio_s = seconds = 0.0
        failures: list[Failure] = []
        ordered = sorted(rows, key=lambda row: (row[0], row[1].id))
        for split, group in groupby(ordered, key=lambda row: row[0]):
            utterances = [row for _, row in group]
            task = shard_task(self._worker.specs, split, utterances, work)
            start = time.perf_counter()
            [result] = self._worker(Workload(tasks=(task,)), lambda _: None)
            seconds += time.perf_counter() - start
            failed = {failure.id for failure in result.failures}
            audio_s += sum(row.duration_s for row in utterances if row.id not in failed)
            failures += result.failures
            for shard in work.rglob("*.h5"):
                shard.unlink()
        return audio_s, seconds, failures

    def _cut(self, row: Row, longest_s: float, *, at_once: bool = False) -> Row:
        """Return the beginning of an utterance, of some seconds, or all of a shorter one.

        Args:
            row: the utterance.
            longest_s: at least a second is left in any case.
            at_once: leave no more than is computed at once, without windows.
        """
        split, utterance = row
        extractor = self._worker.extractor
        length = num_samples(utterance, extractor.framing)
        limit = max(1, longest_s) * extractor.framing.sample_rate
        if at_once and extractor.max_samples is not None:
            limit = min(limit, extractor.max_samples)
        if length <= limit:
            return row
        return split, replace(utterance, num_samples=int(utterance.num_samples * limit / length))


def _fitting(rows: Sequence[Row], room_s: float) -> Sequence[Row]:
    """Return as many of the first rows as last no longer than `room_s`, in seconds of audio."""
    for number, (_, row) in enumerate(rows):
        room_s -= row.duration_s
        if room_s < 0:
            return rows[:number]
    return rows


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
