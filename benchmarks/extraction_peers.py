"""What others extract filterbanks with, each used as its documentation shows."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.extracting import Extracting, Work
from benchmarks.speech import SAMPLE_RATE, Speech


class _Lhotse(Extracting):
    needs = ("lhotse",)
    is_slow = True
    writer: ClassVar[str]

    def extract(self, speech: Speech, out: Path) -> Work:
        os.environ["OMP_NUM_THREADS"] = "1"  # of torch, in the processes of its jobs too
        import lhotse
        from lhotse import CutSet, Fbank, Recording, RecordingSet

        recordings = RecordingSet.from_recordings(
            Recording.from_file(speech.audio / row.audio, recording_id=row.id)
            for row in speech.rows
        )
        cuts = CutSet.from_manifests(recordings=recordings).to_eager()
        extractor, writer = Fbank(), getattr(lhotse, self.writer)
        began = time.monotonic()
        stored = self._store(cuts, extractor, writer, out)
        ended = time.monotonic()
        return Work(began=began, ended=ended, audio_s=sum(cut.duration for cut in stored))

    def _store(self, cuts: Any, extractor: Any, writer: Any, out: Path) -> Any:
        raise NotImplementedError


class _Jobs(_Lhotse):
    num_jobs: ClassVar[int]

    def _store(self, cuts: Any, extractor: Any, writer: Any, out: Path) -> Any:
        return cuts.compute_and_store_features(
            extractor=extractor,
            storage_path=out / "features",
            num_jobs=self.num_jobs,
            storage_type=writer,
            progress_bar=False,
        )


class OneJobHdf5(_Jobs):
    name = "lhotse Fbank, 1 job, NumpyHdf5"
    writer, num_jobs = "NumpyHdf5Writer", 1


class OneJobLilcom(_Jobs):
    name = "lhotse Fbank, 1 job, LilcomChunky"
    writer, num_jobs = "LilcomChunkyWriter", 1


class TwoJobsHdf5(_Jobs):
    name = "lhotse Fbank, 2 jobs, NumpyHdf5"
    writer, num_jobs = "NumpyHdf5Writer", 2


class Batch(_Lhotse):
    name = "lhotse Fbank, batches, NumpyHdf5"
    writer = "NumpyHdf5Writer"

    def _store(self, cuts: Any, extractor: Any, writer: Any, out: Path) -> Any:
        return cuts.compute_and_store_features_batch(
            extractor=extractor, storage_path=out / "features", num_workers=1, storage_type=writer
        )


class SpeechBrain(Extracting):
    """Batches of one, for it says nothing of the lengths of padded ones; nothing is stored."""

    name = "speechbrain Fbank, 1 thread, nothing stored"
    needs = ("speechbrain",)

    def extract(self, speech: Speech, out: Path) -> Work:  # noqa: ARG002
        import soundfile
        import torch
        from speechbrain.lobes.features import Fbank

        torch.set_num_threads(1)
        extractor = Fbank(n_mels=80)
        num_samples = 0
        began = time.monotonic()
        with torch.inference_mode():
            for row in speech.rows:
                samples, _ = soundfile.read(str(speech.audio / row.audio), dtype="float32")
                extractor(torch.from_numpy(samples).unsqueeze(0))
                num_samples += len(samples)
        return Work(began=began, ended=time.monotonic(), audio_s=num_samples / SAMPLE_RATE)


PEERS: list[type[Extracting]] = [
    OneJobHdf5,
    OneJobLilcom,
    TwoJobsHdf5,
    Batch,
    SpeechBrain,
]
