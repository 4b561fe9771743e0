"""One of the convolutions that turn a waveform into frames, in wav2vec 2.0 and its relatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch.nn.functional import batch_norm

Tensor: TypeAlias = torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """One of the convolutions over the waveform.

    Args:
        module: all of it: its convolution proper, a norm or none, its activation.
        run: all of that; takes (B, C, N) and gives (B, C', N').
        activation: by itself.
    """

    module: torch.nn.Module
    run: Callable[[Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]

    @property
    def conv(self) -> torch.nn.Conv1d:
        """The convolution proper."""
        conv = self.module.conv
        assert isinstance(conv, torch.nn.Conv1d)
        return conv

    @property
    def group_norm(self) -> torch.nn.GroupNorm | None:
        """Its norm over time, where it has one: a layer norm looks at one frame."""
        norm = getattr(self.module, "layer_norm", None)
        if not isinstance(norm, torch.nn.GroupNorm):
            return None
        assert norm.num_groups == norm.num_channels
        return norm

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return how many frames it gives of so many values."""
        return (lengths - self.conv.kernel_size[0]) // self.conv.stride[0] + 1

    def channel_moments(self, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of its channels, each (..., C) float64, of one input channel.

        A channel is linear in the values x that one of its frames sees: its mean is w m and its
        variance w C w^T, with their mean m and covariance C.

        Args:
            mean: (..., K) float64, of the K values that one of its frames sees.
            covariance: (..., K, K) float64, of these.
        """
        filters = self.conv.weight.squeeze(1).double()
        means = mean @ filters.T
        if self.conv.bias is not None:
            means = means + self.conv.bias
        return means, ((filters @ covariance) * filters).sum(dim=-1).clamp(min=0)

    def normalized_by(self, hidden: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Run it with given moments in its group norm, which is computed in float32 or more.

        Args:
            hidden: (B, 1, N).
            mean: of its channels, (C,) for all rows or (B, C).
            variance: likewise.
        """
        norm = self.group_norm
        assert norm is not None
        output = self.conv(hidden)
        rows = output.flatten(0, 1).unsqueeze(0) if mean.dim() == 2 else output
        times = rows.shape[1] // norm.num_channels
        dtype = torch.promote_types(output.dtype, torch.float32)
        weight, bias = (one.to(dtype).repeat(times) for one in (norm.weight, norm.bias))
        moments = mean.flatten().to(dtype), variance.flatten().to(dtype)
        rows = batch_norm(rows, *moments, weight, bias, eps=norm.eps)
        return self.activation(rows.view(output.shape))
