"""An SSL-size encoder: featbank's extraction, and the bare forward pass under it.

WavLM base, 94 M random weights, all 12 layers run, float16 stored. Shards are of 1 MB here, some 13
seconds of audio, so that ten minutes have as many for two workers to share as a large corpus has.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.extracting import Extracting, Work
from benchmarks.extraction_ours import NUM_WORKERS, Featbank
from benchmarks.fresh import memory_mb
from benchmarks.speech import SAMPLE_RATE, Speech

NUM_LAYERS = 12
_LOADS_AT_MOST_S = 600


class FeatbankEncoder(Featbank):
    """`extraction.extract` of one layer."""

    name = f"featbank, {NUM_WORKERS} workers x 1 thread, stored"
    extractor: ClassVar[Mapping[str, Any]] = {
        "_target_": "featbank.features.encoders.ssl.SslEncoder",
        "bundle": "WAVLM_BASE",
        "layers": {"wavlm": NUM_LAYERS},
        "weights": "random",
    }
    storage: ClassVar[Sequence[Mapping[str, Any]]] = [
        {"name": "wavlm", "dtype": "float16", "shard_bytes": 1_000_000}
    ]


class BareEncoder(Extracting):
    """The same model over decoded audio, in as many processes, which share out the utterances.

    The clock runs from when both have loaded everything until the last is done.
    """

    name = f"bare forward, {NUM_WORKERS} processes x 1 thread, nothing stored"

    def extract(self, speech: Speech, out: Path) -> Work:  # noqa: ARG002
        import soundfile

        waveforms = [
            soundfile.read(str(speech.audio / row.audio), dtype="float32")[0] for row in speech.rows
        ]
        context = multiprocessing.get_context("spawn")
        taken, all_ready = context.Value("i", 0), context.Barrier(NUM_WORKERS + 1)
        peaks = context.Array("d", NUM_WORKERS)
        processes = [
            context.Process(target=_forward, args=(number, waveforms, taken, all_ready, peaks))
            for number in range(NUM_WORKERS)
        ]
        for process in processes:
            process.start()
        all_ready.wait(_LOADS_AT_MOST_S)
        began = time.monotonic()
        all_ready.wait()
        ended = time.monotonic()
        for process in processes:
            process.join()
        num_samples = sum(map(len, waveforms))
        return Work(
            began=began,
            ended=ended,
            audio_s=num_samples / SAMPLE_RATE,
            details={"worker_mb": max(peaks[:])},
        )


def _forward(
    number: int, waveforms: list[NDArray[np.float32]], taken: Any, all_ready: Any, peaks: Any
) -> None:
    """Compute utterances until none is left; the first wait is for all to be ready, then done."""
    import torch
    from torchaudio.pipelines import WAVLM_BASE

    from featbank.features.encoders.bundles import architecture

    torch.set_num_threads(1)
    model = architecture(WAVLM_BASE).build().eval()
    all_ready.wait(_LOADS_AT_MOST_S)
    with torch.inference_mode():
        while True:
            with taken.get_lock():
                index, taken.value = taken.value, taken.value + 1
            if index >= len(waveforms):
                break
            model.extract_features(
                torch.from_numpy(waveforms[index]).unsqueeze(0), num_layers=NUM_LAYERS
            )
    peaks[number] = memory_mb("VmHWM")
    all_ready.wait()
