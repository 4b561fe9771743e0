"""Position bias of WavLM's attention: a learned number for each head and distance of two frames.

The libraries compute it in the first layer of each forward pass, on the host, as (T, T) for each
row. It is the same for all rows and layers, and here made once for each length (Chen et al. 2022,
arXiv:2110.13900, section 3.1; each layer gates it by its own input).
"""

from __future__ import annotations

from typing import Any

import torch

from featbank.features.encoders.padded_attention import aligned

_KEPT = 64  # lengths; there are 8 an octave


class RelativeBias:
    """Gives the position bias of a number of frames.

    Args:
        attention: of the first layer, as torchaudio or transformers builds it.
    """

    def __init__(self, attention: Any) -> None:
        self._attention = attention
        self._tables: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}
        self._kept: dict[tuple[torch.device, torch.dtype, int], torch.Tensor] = {}

    def __call__(self, size: int) -> torch.Tensor:
        """Return what is added to the scores of `size` frames: (1, H, size, aligned(size)).

        Tensors are kept for as long as the model, since a CUDA graph may read them.
        """
        weight = self._attention.rel_attn_embed.weight
        key = (weight.device, weight.dtype, size)
        if key in self._kept:
            return self._kept[key]
        table = self._table(weight)
        furthest = table.shape[1] // 2
        columns = torch.arange(aligned(size), device=weight.device)
        distances = columns - torch.arange(size, device=weight.device).unsqueeze(1)
        bias = table[:, distances.clamp_(-furthest, furthest) + furthest].unsqueeze(0)
        if len(self._kept) < _KEPT:
            self._kept[key] = bias
        return bias

    def _table(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the bias of each distance, from the furthest that is told apart: (H, 2 M + 1)."""
        key = (weight.device, weight.dtype)
        if key not in self._tables:
            furthest = int(self._attention.max_distance)
            # on the CPU: at the edge of a bucket, rounding decides
            buckets = self._attention._relative_positions_bucket(
                torch.arange(-furthest, furthest + 1)
            )
            self._tables[key] = weight[buckets.to(weight.device)].T.contiguous()
        return self._tables[key]
