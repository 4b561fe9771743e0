"""Convolutional front end of an encoder, over windows of a recording normalised as a whole.

The base models normalise each channel of their first convolution over time (group norm), and some
bundles the waveform. Computed window by window both would differ from window to window; here they
are those of the whole recording, from a pass of their own over it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

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
        self._dtype = parts.convolutions[0].conv.weight.dtype
        self._scaling = _Scaling(0.0, 1.0) if epsilon is None else _scaling(recording, epsilon)
        self._channels = self._first_channels(recording)

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Turn the samples of windows (B, S) into frames (B, T, C).

        A frame is that of the whole recording where it sees none of the padding of its row.
        """
        waveforms = (waveforms - self._scaling.mean) * self._scaling.factor
        hidden = waveforms.to(self._dtype)
        if self._channels is None:
            return self._parts.convolve(hidden)
        first, *rest = self._parts.convolutions
        hidden = first.normalized_by(hidden.unsqueeze(1), *self._channels)
        for convolution in rest:
            hidden = convolution.run(hidden)
        return hidden.transpose(1, 2)

    def _first_channels(self, recording: LongWaveform) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return mean and variance of each channel of a first convolution with a norm, (C,)."""
        first = self._parts.convolutions[0]
        if first.group_norm is None:
            return None
        conv = first.conv
        moments = frame_moments(recording, length=conv.kernel_size[0], hop=conv.stride[0])
        mean = (moments.mean - self._scaling.mean) * self._scaling.factor
        device = conv.weight.device
        means, variances = first.channel_moments(mean.to(device), moments.covariance.to(device))
        return means, variances * self._scaling.factor**2


class _Scaling(NamedTuple):
    """A normalised sample is (sample - mean) x factor."""

    mean: float
    factor: float


def _scaling(recording: LongWaveform, epsilon: float) -> _Scaling:
    moments = frame_moments(recording, length=1, hop=1)
    variance = max(0.0, moments.covariance.item())
    return _Scaling(moments.mean.item(), (variance + epsilon) ** -0.5)
