"""featbank's extraction, and the floor under it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml

from benchmarks.extracting import Extracting, Work
from benchmarks.fresh import memory_mb
from benchmarks.speech import SAMPLE_RATE, Speech

NUM_WORKERS = 2
INT16_SCALE = 32768.0
FBANK = yaml.safe_load(
    (Path(__file__).parent.parent / "conf" / "feature" / "fbank.yaml").read_text(encoding="utf-8")
)


class KaldiFloor(Extracting):
    """torchaudio's function in one thread, utterance by utterance; nothing is stored."""

    name = "floor: torchaudio kaldi.fbank, 1 thread, nothing stored"

    def extract(self, speech: Speech, out: Path) -> Work:  # noqa: ARG002
        import soundfile
        import torch
        from torchaudio.compliance import kaldi

        torch.set_num_threads(1)
        paths = [str(speech.audio / row.audio) for row in speech.rows]
        num_samples = 0
        began = time.monotonic()
        with torch.inference_mode():
            for path in paths:
                samples, rate = soundfile.read(path, dtype="float32")
                waveform = torch.from_numpy(samples).unsqueeze(0) * INT16_SCALE
                kaldi.fbank(waveform, num_mel_bins=80, sample_frequency=rate)
                num_samples += len(samples)
        return Work(began=began, ended=time.monotonic(), audio_s=num_samples / SAMPLE_RATE)


class Featbank(Extracting):
    """`extraction.extract` with processes of one thread each, stores published."""

    name = f"featbank, {NUM_WORKERS} workers, stored"
    extractor: ClassVar[Mapping[str, Any]] = FBANK["extractor"]
    storage: ClassVar[Sequence[Mapping[str, Any]]] = FBANK["storage"]

    def extract(self, speech: Speech, out: Path) -> Work:
        from benchmarks.noting import NotingRunner
        from featbank.runners.local import LocalRunner

        runner = NotingRunner(LocalRunner(num_workers=NUM_WORKERS), out / "notes")
        # torch is behind these, which takes seconds
        from featbank.base.components import ComponentConfig
        from featbank.engine.definition import FeatureDefinition
        from featbank.engine.extract import extract
        from featbank.engine.run import Budget, PreparedCorpus, Run
        from featbank.feature_io import read_storage

        run = Run(
            corpus=PreparedCorpus(
                name="speech", license="", manifests=speech.manifests, audio_root=speech.audio
            ),
            definition=FeatureDefinition(
                name="fbank",
                extractor=ComponentConfig.of(self.extractor),
                storage=read_storage(self.storage),
            ),
            runner=runner,
            budget=Budget(path=out / "failures.jsonl"),
            work=out / "work",
        )
        done = extract(run, out / "features")
        ended = time.monotonic()
        notes = runner.notes()
        if done.tally.num_computed != len(speech.rows):
            sys.exit(f"expected {len(speech.rows)} utterances, got {done.tally}")
        return Work(
            began=notes[0].ready,
            ended=ended,
            audio_s=done.tally.computed_s,
            details={
                "num_shards": done.tally.num_shards_written,
                "first_shard": min(note.first_result for note in notes),
                "coordinator_mb": memory_mb("VmHWM"),
                "worker_mb": max(note.peak_mb for note in notes),
            },
        )
