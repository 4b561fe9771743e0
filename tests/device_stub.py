"""An extractor for devices whose batches are exactly what each utterance is alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from featbank.base.framing import Framing
from featbank.errors import AudioError
from featbank.features.base import AudioBatch, LongWaveform, Output
from featbank.features.utterance_extractor import UtteranceExtractor

REFUSED, NAN, INFINITE, GREAT = 0.5, 0.25, -0.25, -0.5
"""First samples of utterances that are of no use: the extractor says so, or its values do."""


class ExactStub(UtteranceExtractor):
    """Multiplies the samples of each frame, so that no shape changes a bit.

    Args:
        max_s: longer utterances go in pieces.
    """

    version = 1

    def __init__(self, max_s: float | None = None) -> None:
        self._max_s = max_s

    @property
    def framing(self) -> Framing:
        return Framing(sample_rate=16000, window_length=400, hop_length=320)

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {"one": Output((12,)), "two": Output((2, 5)), "codes": Output((3,), 700)}

    @property
    def max_samples(self) -> int | None:
        return None if self._max_s is None else round(16000 * self._max_s)

    @property
    def uses_device(self) -> bool:
        return True

    def to(self, device: str) -> None:
        pass

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {name: rows[0] for name, rows in self._frames(waveform.unsqueeze(0)).items()}

    def compute_batch(
        self,
        waveforms: torch.Tensor,
        num_samples: torch.Tensor,  # noqa: ARG002 - frames see their own samples alone
    ) -> Mapping[str, torch.Tensor]:
        return self._frames(waveforms)

    def _frames(self, waveforms: torch.Tensor) -> Mapping[str, torch.Tensor]:
        first = waveforms[:, 0]
        if (first == REFUSED).any():
            raise AudioError("utterance", kind="bad_features", expected="another", got="this one")
        frames = waveforms.unfold(1, 400, 320).clone()
        for value, sign in ((float("nan"), NAN), (float("inf"), INFINITE), (1e30, GREAT)):
            frames[first == sign, 0, 7] = value
        codes = (frames[..., 20:23].nan_to_num().abs() * 1000).long() % 700
        return {
            "one": frames[..., :12] * 1.7,
            "two": frames[..., :10].unflatten(2, (2, 5)) * 0.3,
            "codes": codes,
        }

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        samples = np.concatenate([*recording.blocks(10_000)])
        computed = self._compute(torch.from_numpy(samples))
        for start in range(0, len(computed["one"]), 20):
            yield {name: rows[start : start + 20] for name, rows in computed.items()}


class ByHandStub(ExactStub):
    """Knows of batches only by `compute_features`, as extractors of other packages do."""

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:
        return super().compute_features(batch, split)


class BrokenStub(ExactStub):
    """Ends the run by an error of the machine.

    Args:
        how: `memory`, or `frames`.
    """

    def __init__(self, how: str) -> None:
        super().__init__()
        self._how = how

    def compute_batch(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        if self._how == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        computed = super().compute_batch(waveforms, num_samples)
        return {name: rows[:, 1:] for name, rows in computed.items()}


class SpectrumStub(ExactStub):
    """Gives `mfcc`: some samples of each frame, and their products."""

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {"mfcc": Output((8,))}

    def _frames(self, waveforms: torch.Tensor) -> Mapping[str, torch.Tensor]:
        frames = waveforms.unfold(1, 400, 320)
        some = frames[..., 8:400:100]
        return {"mfcc": 10 * torch.cat([some, some * some.flip(2)], 2)}
