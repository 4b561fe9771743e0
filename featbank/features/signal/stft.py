"""Magnitude spectrogram and frame energy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from featbank.features.base import Output
from featbank.features.signal.stft_front_end import PaddedStftExtractor


@dataclass(frozen=True, kw_only=True)
class Spectrogram(PaddedStftExtractor):
    """Magnitude or power of the short-time Fourier transform, `spectrogram`: (T, n_fft // 2 + 1).

    |STFT| ** power, not normalised: torchaudio.transforms.Spectrogram's with its defaults.

    Args:
        power: 1.0 for magnitudes, 2.0 for powers.
    """

    version: ClassVar[int] = 1

    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("power", self.power in (1.0, 2.0), "1.0 or 2.0")

    @property
    def outputs(self) -> Mapping[str, Output]:
        """`spectrogram`, (n_fft // 2 + 1,)."""
        return {"spectrogram": Output((self.n_fft // 2 + 1,))}

    def _features(self, rows: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"spectrogram": rows}

    def _values(self, power: torch.Tensor) -> torch.Tensor:
        return power.sqrt_() if self.power == 1.0 else power


@dataclass(frozen=True, kw_only=True)
class Energy(PaddedStftExtractor):
    """Energy of each frame as FastSpeech 2 predicts it, `energy`: (T, 1).

    The L2 norm of the magnitudes of a frame's short-time Fourier transform, sqrt(sum |X_k|^2) over
    k from 0 to n_fft / 2 (Ren et al., "FastSpeech 2", 2021, section 2.3). Neither its logarithm nor
    quantised: recipes differ in these.
    """

    version: ClassVar[int] = 1

    @property
    def outputs(self) -> Mapping[str, Output]:
        """`energy`, (1,)."""
        return {"energy": Output((1,))}

    def _features(self, rows: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"energy": rows}

    def _values(self, power: torch.Tensor) -> torch.Tensor:
        return power.sum(dim=1, keepdim=True).sqrt_()
