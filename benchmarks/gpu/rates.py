"""Rates of one model: bare forward passes, and featbank's extraction with storage and without."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gpu.batches import full_batches, synchronize
from benchmarks.gpu.budget import Deadline
from benchmarks.gpu.busy import DeviceTime
from benchmarks.gpu.models import Model
from benchmarks.gpu.references import equal_batches, reference
from benchmarks.inprocess import WorkerAtHand, job_of, storing_nothing, workload
from benchmarks.speech import Speech
from featbank.base.components import ComponentConfig
from featbank.base.manifest import Utterance, write_manifest
from featbank.engine.definition import FeatureDefinition
from featbank.engine.extract import make_features
from featbank.engine.job import Job
from featbank.engine.run import WHAT_FITS
from featbank.feature_io import read_storage
from featbank.features.base import Extractor
from featbank.numerics import Computing

_NUM_BATCHES = 24  # of various shapes, as they come in ragged speech
_WARM_ROUNDS = 3  # a shape is captured as a graph when it is seen for the third time
_OF_DISK = 0.3  # that is free: shards take it twice, on their way and published

# of the time that is left to a model by then; its start, and what is forecast wrongly, take some
_REFERENCE, _BARE, _UNSTORED, _STORED = 0.15, 0.2, 0.15, 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What was measured of one model; rates are seconds of audio a second.

    Args:
        extractor: that was measured, for the table of rates.
        computing: with what seconds together and decoders.
        reference: rate of the bare forward pass of the reference implementation.
        bare: of featbank's own.
        stored: of the whole extraction, from files to published stores.
        unstored: of the same pipeline into nothing.
        busy: share of the extraction's time in which the device had a batch.
        flops: a second of audio, on average.
        bytes_per_s: written.
        memory_bytes: at most allocated on the device.
        audio_s: that was extracted.
    """

    extractor: Extractor
    computing: Computing
    reference: float
    bare: float
    stored: float
    unstored: float
    busy: float
    flops: float
    bytes_per_s: float
    memory_bytes: int
    audio_s: float


class Measuring:
    """Measures one model within a time.

    Args:
        model: to be measured.
        speech: ragged utterances, more than fit into the time.
        waveform: speech at the model's rate, to cut waveforms out of.
        computing: device, and seconds together.
        folder: for what is stored.
        deadline: to be kept.
    """

    def __init__(
        self,
        model: Model,
        speech: Speech,
        waveform: NDArray[np.float32],
        computing: Computing,
        folder: Path,
        deadline: Deadline,
    ) -> None:
        self._model = model
        self._speech = speech
        self._waveform = waveform
        self._computing = computing
        self._folder = folder
        self._deadline = deadline
        self._device = torch.device(computing.device)
        self._runner = WorkerAtHand()
        self._definition = FeatureDefinition(
            name=model.option,
            extractor=ComponentConfig.of(model.extractor),
            storage=read_storage(model.storage),
        )

    def measure(self) -> Rates:
        """Measure everything, the extraction for as long as there is time."""
        job = self._job("stored", None)
        worker = job.make_worker()
        self._runner.worker = worker
        extractor, sample_rate = worker.extractor, worker.extractor.framing.sample_rate
        lengths = [round(row.duration_s * sample_rate) for row in self._speech.rows]
        batch_samples = round(job.computing.seconds_together * sample_rate)
        published, flops = self._reference(lengths, batch_samples, self._deadline.part(_REFERENCE))
        bare = self._bare(extractor, lengths, batch_samples, self._deadline.part(_BARE))
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        unstored = self._unstored(job, bare, self._deadline.part(_UNSTORED))
        audio_s, seconds, busy, num_bytes = self._stored(
            min(bare, unstored), self._deadline.part(_STORED)
        )
        return Rates(
            extractor=extractor,
            computing=job.computing,
            reference=published,
            bare=bare,
            stored=audio_s / seconds,
            unstored=unstored,
            busy=busy / seconds,
            flops=sum(flops(length / sample_rate) for length in lengths)
            / (sum(lengths) / sample_rate),
            bytes_per_s=num_bytes / seconds,
            memory_bytes=self._memory(),
            audio_s=audio_s,
        )

    def _reference(
        self, lengths: Sequence[int], batch_samples: int, deadline: Deadline
    ) -> tuple[float, Callable[[float], float]]:
        """Return the rate of the reference implementation, and what an utterance costs."""
        model = reference(self._model, self._device)
        batches = list(equal_batches(lengths[:2000], model.padded, batch_samples))
        step = max(1, len(batches) // _NUM_BATCHES)
        chosen = [
            (sum(batch) / model.sample_rate, model.inputs(len(batch), model.padded(batch[-1])))
            for batch in batches[::step]
        ]
        with torch.inference_mode():
            rate = self._rate(chosen, model.forward, deadline, warm_rounds=1)
        return rate, model.flops()

    def _bare(
        self, extractor: Extractor, lengths: Sequence[int], batch_samples: int, deadline: Deadline
    ) -> float:
        """Return the rate of featbank's own forward pass, its batches on the device already."""
        batches = full_batches(
            extractor, self._waveforms(lengths), batch_samples, self._device, _NUM_BATCHES
        )
        rate = extractor.framing.sample_rate
        with torch.inference_mode():
            return self._rate(
                [(sum(batch.lengths) / rate, batch) for batch in batches],
                lambda batch: extractor.compute_batch(batch.waveforms, batch.num_samples),
                deadline,
                warm_rounds=_WARM_ROUNDS,
            )

    def _rate(
        self,
        batches: Sequence[tuple[float, Any]],
        forward: Callable[[Any], object],
        deadline: Deadline,
        warm_rounds: int,
    ) -> float:
        """Return seconds of audio a second over batches in turns; each is (audio_s, input)."""
        for _ in range(warm_rounds):
            for _, batch in batches:
                forward(batch)
        synchronize(self._device)
        done_s, began = 0.0, time.perf_counter()
        while not done_s or not deadline.is_over:
            for audio_s, batch in batches:
                forward(batch)
                done_s += audio_s
            synchronize(self._device)
        return done_s / (time.perf_counter() - began)

    def _unstored(self, job: Job, rate: float, deadline: Deadline) -> float:
        """Return the rate of the same pipeline where its shards are written nowhere."""
        worker, folder = self._runner.worker, self._folder / "unstored"
        rows = self._rows(rate * max(1.0, deadline.left_s))
        work = workload(worker, rows, job.computing.seconds_together, folder)
        with storing_nothing(worker):
            began = time.perf_counter()
            results = worker(work, lambda _: None)
            elapsed_s = time.perf_counter() - began
        return sum(result.tally.computed_s for result in results) / elapsed_s

    def _stored(self, rate: float, deadline: Deadline) -> tuple[float, float, float, int]:
        """Extract; return seconds of audio, of the clock and of the device, and bytes stored."""
        rows = self._rows(rate * max(1.0, deadline.left_s))
        folder = self._folder / "stored"
        manifests = folder / "manifests"
        write_manifest(manifests / "train.jsonl", rows)
        try:
            job = self._job("stored", manifests)
            with DeviceTime(self._device).of(self._runner.worker.extractor) as device:
                done = make_features(job, WHAT_FITS)
                ended = time.perf_counter()
            if done.tally.num_computed != len(rows):
                raise RuntimeError(f"expected {len(rows)} utterances, got {done.tally}")
            shards = (folder / "features").rglob("*.h5")
            num_bytes = sum(path.stat().st_size for path in shards)
            return done.tally.computed_s, ended - self._runner.began, device.seconds, num_bytes
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _rows(self, duration_s: float) -> list[Utterance]:
        """Return the first utterances, of so many seconds, and no more than the disk holds."""
        [output] = self._runner.worker.extractor.outputs.values()
        [entry] = self._definition.storage
        frame_rate = self._runner.worker.extractor.framing.frame_rate
        free = _OF_DISK * shutil.disk_usage(self._folder).free
        limit_s = min(duration_s, free / (frame_rate * output.num_values * entry.itemsize))
        rows, total_s = [], 0.0
        for row in self._speech.rows:
            if rows and total_s + row.duration_s > limit_s:
                break
            rows.append(row)
            total_s += row.duration_s
        return rows

    def _waveforms(self, lengths: Sequence[int]) -> Iterator[torch.Tensor]:
        """Cut speech into utterances of some lengths, each from elsewhere."""
        for number, length in enumerate(lengths):
            start = 7919 * number % max(1, len(self._waveform) - length)
            yield torch.from_numpy(self._waveform[start : start + length])

    def _job(self, name: str, manifests: Path | None) -> Job:
        return job_of(
            self._definition,
            self._speech,
            self._computing,
            self._runner,
            self._folder / name,
            manifests=manifests,
        )

    def _memory(self) -> int:
        return torch.cuda.max_memory_reserved() if self._device.type == "cuda" else 0
