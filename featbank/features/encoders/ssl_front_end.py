"""Convolutional front end of an encoder, over windows of a recording normalised as a whole.

The base models normalise each channel of their first convolution over time (group norm), and some
bundles the waveform. Computed window by window both would differ from window to window; here they
are those of the whole recording, from a pass of their own over it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn.functional import batch_norm

from featbank.features.base import LongWaveform
from featbank.features.encoders.ssl_parts import EncoderParts
from featbank.features.signal.moments import frame_moments


class RecordingFrontEnd:
    """Computes what the encoder's transformer takes, from windows of one recording."""

    def __init__(
        self, parts: EncoderParts, recording: LongWaveform, *, epsilon: float | None
    ) -> None:
        """Gather the statistics of the whole recording that its windows are normalised by.

        Args:
            parts: of the model whose convolutions are run.
            recording: at the model's rate.
            epsilon: added to the variance of a waveform that the model takes with mean 0 and
                variance 1; None: it takes it as it is.
        """
        self._parts = parts
        self._scaling = _Scaling(0.0, 1.0) if epsilon is None else _scaling(recording, epsilon)
        self._channels = self._first_channels(recording)

    def __call__(self, samples: torch.Tensor) -> torch.Tensor:
        """Turn the samples (n,) of a window into frames (1, T, C)."""
        waveform = (samples - self._scaling.mean) * self._scaling.factor
        if self._channels is None:
            return self._parts.convolve(waveform.unsqueeze(0))
        first, *rest = self._parts.convolutions
        norm = first.group_norm
        assert norm is not None
        hidden = first.conv(waveform.view(1, 1, -1)).float()
        hidden = batch_norm(hidden, *self._channels, norm.weight, norm.bias, eps=norm.eps)
        hidden = first.activation(hidden)
        for convolution in rest:
            hidden = convolution.run(hidden)
        return hidden.transpose(1, 2)

    def _first_channels(self, recording: LongWaveform) -> _Channels | None:
        first = self._parts.convolutions[0]
        if first.group_norm is None:
            return None
        conv = first.conv
        moments = frame_moments(recording, length=conv.kernel_size[0], hop=conv.stride[0])
        filters = conv.weight.squeeze(1).double().cpu()
        mean = filters @ ((moments.mean - self._scaling.mean) * self._scaling.factor)
        if conv.bias is not None:
            mean += conv.bias.cpu()
        variance = ((filters @ moments.covariance) * filters).sum(dim=1) * self._scaling.factor**2
        device = conv.weight.device
        return _Channels(mean.float().to(device), variance.clamp(min=0).float().to(device))


class _Scaling(NamedTuple):
    """A normalised sample is (sample - mean) x factor."""

    mean: float
    factor: float


class _Channels(NamedTuple):
    """Mean and variance of each channel of the first convolution, (C,) float32."""

    mean: torch.Tensor
    variance: torch.Tensor


def _scaling(recording: LongWaveform, epsilon: float) -> _Scaling:
    moments = frame_moments(recording, length=1, hop=1)
    variance = max(0.0, moments.covariance.item())
    return _Scaling(moments.mean.item(), (variance + epsilon) ** -0.5)
