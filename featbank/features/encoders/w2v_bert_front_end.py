"""Front end of Wav2Vec2-BERT: a log-mel filterbank, normalised over the waveform, frames in pairs.

On the CPU a waveform is computed alone, in blocks; on a device padded rows are, at once, each with
the moments of its own valid frames. Moments are float64 in both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from featbank.features.base import AudioBatch, LongWaveform
from featbank.features.signal.kaldi import INT16_SCALE, Fbank
from featbank.features.windows import plan_windows, read_windows

STACKED = 2  # frames of the filterbank in one of the encoder
_LEAST_VARIANCE = 1e-7
_BLOCK_FRAMES = 1 << 14  # of a recording, computed at once on a device


class MelScaling(NamedTuple):
    """A normalised value is (value - mean) x factor; each (num_mel_bins,) float64."""

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]


class RowScaling(NamedTuple):
    """The same of rows on a device, (B, 1, num_mel_bins) float64, or (1, 1, num_mel_bins)."""

    mean: torch.Tensor
    factor: torch.Tensor


class StackedFbank:
    """Computes what the encoder takes: pairs of frames of Kaldi's filterbank, (T, 2 D) float32.

    Args:
        num_mel_bins: D.
    """

    def __init__(self, num_mel_bins: int) -> None:
        self._fbank = Fbank(num_mel_bins=num_mel_bins, waveform_scale=INT16_SCALE)

    def alone(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return the pairs of a whole waveform."""
        log_mel = self._log_mel(waveform)
        return _stacked(log_mel, _scaling([log_mel]))

    def scaling(self, recording: LongWaveform) -> MelScaling:
        """Return by what a whole recording is normalised, in a pass over it."""
        return _scaling(piece["fbank"] for piece in self._fbank.compute_pieces(recording, ""))

    def of_window(self, samples: torch.Tensor, scaling: MelScaling) -> torch.Tensor:
        """Return the pairs of a part of a recording."""
        return _stacked(self._log_mel(samples), scaling)

    def num_frames(self, num_samples: torch.Tensor) -> torch.Tensor:
        """Return how many pairs waveforms (B,) have."""
        return self._num_single(num_samples) // STACKED

    def of_rows(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor, scaling: RowScaling | None = None
    ) -> torch.Tensor:
        """Return the pairs of padded waveforms (B, S) on their device, (B, T, 2 D).

        Args:
            waveforms: float32.
            num_samples: (B,), of each without its padding.
            scaling: of the recording that they are of; None: each is normalised by itself.
        """
        log_mel = self._fbank.log_mel(waveforms)
        if scaling is None:
            count = self._num_single(num_samples)
            valid = torch.arange(log_mel.shape[1], device=count.device) < count.unsqueeze(1)
            scaling = _row_scaling(count.view(-1, 1, 1), *_sums(log_mel * valid.unsqueeze(2)))
        paired = log_mel[:, : log_mel.shape[1] // STACKED * STACKED].double()
        normal = ((paired - scaling.mean) * scaling.factor).float()
        return normal.view(len(normal), -1, STACKED * normal.shape[2])

    def scaling_on(self, device: torch.device, recording: LongWaveform) -> RowScaling:
        """Return what `scaling` does, computed on a device."""
        grid = self._fbank.framing
        windows = plan_windows(recording.num_samples, grid, max_frames=_BLOCK_FRAMES)
        total = squares = torch.zeros(1, dtype=torch.float64, device=device)
        for _, samples in read_windows(recording, windows):
            waveform = torch.from_numpy(samples).to(device)
            sums = _sums(self._fbank.log_mel(waveform.unsqueeze(0)))
            total, squares = total + sums[0], squares + sums[1]
        count = torch.full((1, 1, 1), grid.num_frames(recording.num_samples))
        return _row_scaling(count.to(device), total, squares)

    def _num_single(self, num_samples: torch.Tensor) -> torch.Tensor:
        grid = self._fbank.framing
        return (num_samples - grid.window_length) // grid.hop_length + 1

    def _log_mel(self, waveform: torch.Tensor) -> NDArray[np.float32]:
        [features] = self._fbank.compute_features(AudioBatch(ids=[""], waveforms=[waveform]), "")
        log_mel: NDArray[np.float32] = features["fbank"]
        return log_mel


def _scaling(pieces: Iterable[NDArray[np.float32]]) -> MelScaling:
    """Gather mean and variance, over the count less one, of all frames (T, num_mel_bins)."""
    count, total, squares = 0, np.float64(0), np.float64(0)
    for piece in pieces:
        values = piece.astype(np.float64)
        count += len(values)
        total = total + values.sum(axis=0)
        squares = squares + np.square(values).sum(axis=0)
    mean = np.asarray(total / count)
    variance = np.maximum(squares - count * np.square(mean), 0) / (count - 1)
    return MelScaling(mean, (variance + _LEAST_VARIANCE) ** -0.5)


def _stacked(log_mel: NDArray[np.float32], scaling: MelScaling) -> torch.Tensor:
    """Normalise (T, D) and return pairs of frames, (T // 2, 2 D)."""
    paired = log_mel[: len(log_mel) // STACKED * STACKED].astype(np.float64)
    normal = torch.from_numpy((paired - scaling.mean) * scaling.factor)
    return normal.float().view(-1, STACKED * log_mel.shape[1])  # in torch's own memory


def _sums(log_mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sums over frames (B, T, D), and of their squares, (B, 1, D) float64."""
    values = log_mel.double()
    return values.sum(dim=1, keepdim=True), values.square().sum(dim=1, keepdim=True)


def _row_scaling(count: torch.Tensor, total: torch.Tensor, squares: torch.Tensor) -> RowScaling:
    mean = total / count
    variance = (squares - count * mean.square()).clamp(min=0) / (count - 1)
    return RowScaling(mean, (variance + _LEAST_VARIANCE).rsqrt())
