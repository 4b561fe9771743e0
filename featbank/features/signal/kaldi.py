"""Kaldi's log-mel filterbank and MFCC, without dither.

The numbers are those of `torchaudio.compliance.kaldi` (and so of Kaldi's feat/ directory) up to
float32 rounding. What both share is in `kaldi_front_end`.

The defaults are torchaudio's. Kaldi's own differ: its `energy_floor` is 0, its MFCC has
`use_energy` true, it dithers, and it reads the 16-bit range (`waveform_scale` 32768).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch

from featbank.features.base import Output
from featbank.features.signal.dsp import cepstral_matrix, compute_deltas
from featbank.features.signal.framewise import BLOCK_FRAMES
from featbank.features.signal.kaldi_front_end import KaldiExtractor

INT16_SCALE = 32768.0
"""`waveform_scale` that turns [-1, 1] into the 16-bit range Kaldi reads."""


@dataclass(frozen=True, kw_only=True)
class Fbank(KaldiExtractor):
    """Log-mel filterbank, `fbank`: (T, num_mel_bins), or one more with the energy in front."""

    version: ClassVar[int] = 1

    @property
    def outputs(self) -> Mapping[str, Output]:
        """`fbank`, (D,)."""
        return {"fbank": Output((self.num_mel_bins + self.use_energy,))}

    def _features(self, rows: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"fbank": rows}

    def _values(self, log_mel: torch.Tensor, log_energy: torch.Tensor | None) -> torch.Tensor:
        return log_mel if log_energy is None else torch.cat((log_energy, log_mel), dim=1)


@dataclass(frozen=True, kw_only=True)
class Mfcc(KaldiExtractor):
    """Mel-frequency cepstra, `mfcc`: (T, num_ceps x (1 + deltas)).

    Args:
        num_ceps: cepstra, C0 included; with `use_energy` the log energy takes the place of C0.
        cepstral_lifter: liftering constant; 0 for none.
        deltas: how often the slope is appended: 1 adds deltas, 2 also the deltas of the deltas.
    """

    version: ClassVar[int] = 1

    num_ceps: int = 13
    cepstral_lifter: float = 22.0
    deltas: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("num_ceps", 1 <= self.num_ceps <= self.num_mel_bins, "from 1 to num_mel_bins")
        self._require("cepstral_lifter", self.cepstral_lifter >= 0, "0 or more")
        self._require("deltas", self.deltas in (0, 1, 2), "0, 1 or 2")

    @property
    def outputs(self) -> Mapping[str, Output]:
        """`mfcc`, (D,)."""
        return {"mfcc": Output((self.num_ceps * (1 + self.deltas),))}

    @property
    def _context_frames(self) -> int:
        return BLOCK_FRAMES if self.deltas else 0  # each order reaches two frames further

    def _features(self, rows: torch.Tensor) -> Mapping[str, torch.Tensor]:
        orders = [rows]
        for _ in range(self.deltas):
            orders.append(compute_deltas(orders[-1]))
        return {"mfcc": torch.cat(orders, dim=1)}

    def _values(self, log_mel: torch.Tensor, log_energy: torch.Tensor | None) -> torch.Tensor:
        cepstra = log_mel @ self._cepstral
        return cepstra if log_energy is None else torch.cat((log_energy, cepstra[:, 1:]), dim=1)

    @cached_property
    def _cepstral(self) -> torch.Tensor:
        return cepstral_matrix(self.num_mel_bins, self.num_ceps, self.cepstral_lifter)
