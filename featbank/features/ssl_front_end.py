"""The convolutions of an encoder over windows of one recording, normalised over all of it.

The base models normalise each channel of their first convolution over time (group norm), and some
bundles the waveform. Computed window by window both would differ from window to window; here they
are those of the whole recording, from a pass of their own over it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn.functional import batch_norm, gelu
from torchaudio.models import Wav2Vec2Model

from featbank.features.base import LongWaveform
from featbank.features.moments import frame_moments

LAYER_NORM_EPSILON = 1e-5
"""Of torch's layer_norm, by which whole waveforms are normalised."""


class RecordingFrontEnd:
    """Turns windows of one recording into what the encoder's transformer takes."""

    def __init__(
        self, model: Wav2Vec2Model, recording: LongWaveform, *, normalize_waveform: bool
    ) -> None:
        """Gather what the windows must know of the whole recording.

        Args:
            model: whose convolutions are run.
            recording: at the model's rate.
            normalize_waveform: whether the model takes it with mean 0 and variance 1.
        """
        self._convolutions = model.feature_extractor
        self._scaling = _scaling(recording) if normalize_waveform else _Scaling(0.0, 1.0)
        self._channels = self._first_channels(recording)

    def __call__(self, samples: torch.Tensor) -> torch.Tensor:
        """Turn the samples (n,) of a window into frames (1, T, D)."""
        waveform = (samples - self._scaling.mean) * self._scaling.factor
        frames: torch.Tensor
        if self._channels is None:
            frames, _ = self._convolutions(waveform.unsqueeze(0), None)
            return frames
        hidden: torch.Tensor
        first, *rest = self._convolutions.conv_layers
        norm = first.layer_norm
        hidden = first.conv(waveform.view(1, 1, -1))
        hidden = gelu(batch_norm(hidden, *self._channels, norm.weight, norm.bias, eps=norm.eps))
        for layer in rest:
            hidden, _ = layer(hidden, None)
        return hidden.transpose(1, 2)

    def _first_channels(self, recording: LongWaveform) -> _Channels | None:
        first = self._convolutions.conv_layers[0]
        if not isinstance(first.layer_norm, torch.nn.GroupNorm):
            return None  # a layer norm looks at one frame
        assert first.layer_norm.num_groups == first.layer_norm.num_channels
        moments = frame_moments(recording, length=first.kernel_size, hop=first.stride)
        device = first.conv.weight.device
        filters = first.conv.weight.squeeze(1).double().cpu()
        mean = filters @ ((moments.mean - self._scaling.mean) * self._scaling.factor)
        if first.conv.bias is not None:
            mean += first.conv.bias.cpu()
        variance = ((filters @ moments.covariance) * filters).sum(dim=1) * self._scaling.factor**2
        return _Channels(mean.float().to(device), variance.clamp(min=0).float().to(device))


class _Scaling(NamedTuple):
    """A normalised sample is (sample - mean) x factor."""

    mean: float
    factor: float


class _Channels(NamedTuple):
    """Mean and variance of each channel of the first convolution, (C,) float32."""

    mean: torch.Tensor
    variance: torch.Tensor


def _scaling(recording: LongWaveform) -> _Scaling:
    moments = frame_moments(recording, length=1, hop=1)
    variance = max(0.0, moments.covariance.item())
    return _Scaling(moments.mean.item(), (variance + LAYER_NORM_EPSILON) ** -0.5)
