"""Statistics of a whole recording that a model normalises by, gathered block by block."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from featbank.base.framing import Framing
from featbank.features.base import LongWaveform
from featbank.features.windows import plan_windows, read_windows

_BLOCK_FRAMES = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """First and second moments, float64.

    Args:
        mean: (D,).
        covariance: (D, D), over the count, as layer norm and group norm divide.
    """

    mean: torch.Tensor
    covariance: torch.Tensor


def frame_moments(waveform: LongWaveform, *, length: int, hop: int) -> Moments:
    """Return the moments of all frames of `length` samples, `hop` apart, that lie in a waveform.

    Those of single samples (length 1, hop 1) are the waveform's own. Those of what a convolution
    reads tell the mean and variance of each of its channels without computing one: a channel is
    linear in its frame x, so w x has mean w m and variance w C w^T.
    """
    framing = Framing(sample_rate=1, window_length=length, hop_length=hop)
    windows = plan_windows(waveform.num_samples, framing, max_frames=_BLOCK_FRAMES)
    total = torch.zeros(length, dtype=torch.float64)
    squares = torch.zeros(length, length, dtype=torch.float64)
    for _, samples in read_windows(waveform, windows):
        frames = torch.from_numpy(samples).double().unfold(0, length, hop)
        total += frames.sum(dim=0)
        squares += frames.T @ frames
    count = framing.num_frames(waveform.num_samples)
    mean = total / count
    return Moments(mean=mean, covariance=squares / count - torch.outer(mean, mean))
