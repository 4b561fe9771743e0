"""Position bias of WavLM's attention: a learned number for each head and distance of two frames.

The libraries compute it in the first layer of each forward pass, on the host, as (T, T) for each
row. It is the same for all rows and layers, and here made once for each length (Chen et al. 2022,
arXiv:2110.13900, section 3.1; each layer gates it by its own input).
"""

from __future__ import annotations

from typing import Any

import torch

from featbank.features.encoders.kept import Kept
from featbank.features.encoders.padded_attention import aligned


class RelativeBias:
    """Gives the position bias of a number of frames.

    Args:
        attention: of the first layer, as torchaudio or transformers builds it.
    """

    def __init__(self, attention: Any) -> None:
        self._attention = attention
        self._tables, self._biases = Kept(), Kept()

    def __call__(self, size: int) -> torch.Tensor:
        """Return what is added to the scores of `size` frames: (1, H, size, aligned(size))."""
        weight = self._attention.rel_attn_embed.weight
        key = (weight.device, weight.dtype)
        table = self._tables(key, lambda: self._by_distance(weight))
        return self._biases((*key, size), lambda: _spread(table, size))

    def _by_distance(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the bias of each distance, up to the furthest that is told apart: (H, 2 M + 1)."""
        furthest = int(self._attention.max_distance)
        # on the CPU: at the edge of a bucket, rounding decides
        buckets = self._attention._relative_positions_bucket(torch.arange(-furthest, furthest + 1))
        return weight[buckets.to(weight.device)].T.contiguous()


def _spread(table: torch.Tensor, size: int) -> torch.Tensor:
    furthest = table.shape[1] // 2
    columns = torch.arange(aligned(size), device=table.device)
    distances = columns - torch.arange(size, device=table.device).unsqueeze(1)
    return table[:, distances.clamp_(-furthest, furthest) + furthest].unsqueeze(0)
