"""Time a small sample of utterances, computed as a real worker computes them."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from featbank.base.failures import Failure
from featbank.base.manifest import Utterance
from featbank.base.progress import Advance
from featbank.engine.forecast.drawing import DrawnBatch, Row
from featbank.engine.rows import num_samples
from featbank.engine.tasks import Workload, shard_task
from featbank.engine.worker import ShardWorker
from featbank.numerics import CPU

_ENOUGH_S = 3600.0  # of audio: more of it makes no estimate of a CPU better
_UNTIL_CAPTURED = 3  # batches of a shape: a graph is captured at the third


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingTask:
    """The utterances to time, and for how long.

    Args:
        batches: to time, so ordered that any beginning of them says something of the corpus. Those
            without a shape are computed in one shard each split, the others in one each batch, as
            a device has them; at least one.
        longest: the utterance that needs most memory.
        work: folder for what is computed.
        limit_s: of wall-clock time for the batches, and about as much again for the longest.
    """

    batches: Sequence[DrawnBatch]
    longest: Row
    work: Path
    limit_s: float


@dataclass(slots=True, kw_only=True)
class TimedSample:
    """The time and memory that a sample of utterances took.

    Attributes:
        num_utterances: that were timed.
        num_batches: of a shape, in which they were computed; 0 where each was computed alone.
        num_cut: of which only the beginning was computed, for all of it takes too long.
        audio_s: that was computed, in seconds, failures apart.
        seconds: of wall-clock time it took, after what is computed first and not counted.
        failures: of these utterances.
        longest_s: the longest audio that was computed at once, to see its memory, in seconds.
        is_longest: no utterance gives more at once: longer ones are computed in windows.
        peak_bytes: the greatest resident memory of the process. A whole run takes some more, for
            memory that is freed in pieces of many lengths is not all used again: 1.63 GB against
            1.41 GB, WavLM base over the demo corpus.
        device_bytes: the most that torch reserved on a GPU; 0 where it computed on none.
    """

    num_utterances: int = 0
    num_batches: int = 0
    num_cut: int = 0
    audio_s: float = 0.0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    longest_s: float = 0.0
    is_longest: bool = True
    peak_bytes: int = 0
    device_bytes: int = 0

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
        """Time batches in rising numbers while there is time, then compute the longest row."""
        rate = self._warm_up(task)
        found = TimedSample()
        left = list(task.batches)
        size = 1  # a small piece of work costs more a row, so most of the sample is in a large one
        while left and found.seconds < task.limit_s and self._says_too_little(found):
            room_s = rate * (task.limit_s - found.seconds)
            chunk = _fitting(
                [self._shortened(one, rate * task.limit_s / 4) for one in left[:size]], room_s
            )
            if not chunk:
                break
            found.num_cut += sum(
                new is not old
                for one, other in zip(chunk, left, strict=False)
                for new, old in zip(one.rows, other.rows, strict=True)
            )
            left = left[len(chunk) :]
            self._add(found, chunk, task.work)
            rate = found.real_time_factor or rate
            size *= 2
        at_once = self._cut(task.longest[1], math.inf, at_once=True)
        longest = self._cut(at_once, rate * task.limit_s)
        self._made([_alone(task.longest[0], longest)], task.work)
        found.longest_s = longest.duration_s
        found.is_longest = longest is at_once
        found.peak_bytes = _peak_bytes()
        found.device_bytes = torch.cuda.max_memory_reserved() if self._on_gpu else 0
        return found

    @property
    def _on_gpu(self) -> bool:
        return self._worker.numerics["device"] != CPU

    def _says_too_little(self, found: TimedSample) -> bool:
        """Tell whether more of the sample makes the estimate better: a GPU is soon done with it."""
        return self._on_gpu or found.audio_s < _ENOUGH_S

    def _add(self, found: TimedSample, batches: Sequence[DrawnBatch], work: Path) -> None:
        audio_s, seconds, failures = self._made(batches, work)
        found.num_utterances += sum(len(batch.rows) for batch in batches)
        found.num_batches += sum(batch.shape is not None for batch in batches)
        found.audio_s += audio_s
        found.seconds += seconds
        found.failures += failures

    def _warm_up(self, task: TimingTask) -> float:
        """Compute what loads and captures all that is loaded and captured once.

        That is the shortest utterance that does not fail or, where there are shapes, a batch: on a
        GPU of each shape as many as it takes until its graph is captured.

        Returns:
            The real time factor of it.
        """
        in_shapes = {batch.shape: batch for batch in task.batches if batch.shape}
        if in_shapes:
            batches = list(in_shapes.values()) if self._on_gpu else [*in_shapes.values()][:1]
            for _ in range(_UNTIL_CAPTURED if self._on_gpu else 1):
                audio_s, seconds, _ = self._made(batches, task.work)
            if audio_s:
                return audio_s / seconds
        rows = [(batch.split, row) for batch in task.batches for row in batch.rows]
        rate = 1.0
        for split, row in sorted(rows, key=lambda one: one[1].duration_s):
            _, seconds, failures = self._made([_alone(split, row)], task.work)
            rate = row.duration_s / seconds
            if not failures:
                break
        return rate

    def _made(
        self, batches: Sequence[DrawnBatch], work: Path
    ) -> tuple[float, float, list[Failure]]:
        """Make and drop shards; return seconds of audio computed, seconds taken, and failures."""
        tasks = [
            shard_task(self._worker.specs, split, sorted(rows, key=lambda row: row.id), work)
            for split, rows in _shards(batches)
        ]
        start = time.perf_counter()
        results = self._worker(Workload(tasks=tuple(tasks)), lambda _: None)
        seconds = time.perf_counter() - start
        failures = [failure for result in results for failure in result.failures]
        failed = {failure.id for failure in failures}
        audio_s = sum(
            row.duration_s for batch in batches for row in batch.rows if row.id not in failed
        )
        for shard in work.rglob("*.h5"):
            shard.unlink()
        return audio_s, seconds, failures

    def _shortened(self, batch: DrawnBatch, longest_s: float) -> DrawnBatch:
        """Return the beginnings of utterances that are computed alone; batches as they are."""
        if batch.shape is not None:
            return batch
        return replace(batch, rows=[self._cut(row, longest_s) for row in batch.rows])

    def _cut(self, row: Utterance, longest_s: float, *, at_once: bool = False) -> Utterance:
        """Return the beginning of an utterance, of some seconds, or all of a shorter one.

        Args:
            row: the utterance.
            longest_s: at least a second is left in any case.
            at_once: leave no more than is computed at once, without windows.
        """
        extractor = self._worker.extractor
        length = num_samples(row, extractor.framing)
        limit = max(1, longest_s) * extractor.framing.sample_rate
        if at_once and extractor.max_samples is not None:
            limit = min(limit, extractor.max_samples)
        if length <= limit:
            return row
        return replace(row, num_samples=int(row.num_samples * limit / length))


def _alone(split: str, row: Utterance) -> DrawnBatch:
    return DrawnBatch(split=split, shape=None, rows=[row])


def _shards(batches: Sequence[DrawnBatch]) -> Iterator[tuple[str, list[Utterance]]]:
    """Give the rows of a shard each, with their split."""
    alone: dict[str, list[Utterance]] = {}
    for batch in batches:
        if batch.shape is None:
            alone.setdefault(batch.split, []).extend(batch.rows)
        else:
            yield batch.split, list(batch.rows)
    yield from alone.items()


def _fitting(batches: Sequence[DrawnBatch], room_s: float) -> Sequence[DrawnBatch]:
    """Return as many of the first batches as last no longer than `room_s`, in seconds of audio.

    The first may be longer where it has a shape: a batch is computed whole or not at all.
    """
    for number, batch in enumerate(batches):
        room_s -= batch.audio_s
        if room_s < 0 and not (number == 0 and batch.shape):
            return batches[:number]
    return batches


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
