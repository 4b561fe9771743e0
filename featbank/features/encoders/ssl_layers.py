"""A transformer layer of wav2vec 2.0 and its relatives, over a waveform alone or over padded rows.

Alone the library's own layer computes. Over padded rows its parts do, as torchaudio and
transformers both name them, around an attention that passes the padding by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from featbank.features.encoders.padded_attention import ValidFrames

Tensor: TypeAlias = torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerLayer:
    """One layer.

    Args:
        module: the library's: `attention`, `layer_norm`, `feed_forward`, `final_layer_norm`.
        alone: all of it over hidden states (1, T, D) and the position bias that WavLM's layers hand
            on; gives both.
        norm_first: whether it normalises before attention, or behind it.
        project: query, key and value of its attention, each (B, T, H, D'), out of (B, T, D).
        combine: the output of its attention, (B, T, D), out of that of all heads.
        gated: whether its attention gates a position bias by its own input, as WavLM's.
    """

    module: Any
    alone: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]
    norm_first: bool
    project: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    combine: Callable[[Tensor], Tensor]
    gated: bool = False

    def padded(self, hidden: Tensor, valid: ValidFrames, bias: Tensor | None) -> Tensor:
        """Compute padded rows (B, T, D).

        Args:
            hidden: what the layer takes.
            valid: its frames that are no padding.
            bias: of positions, as `RelativeBias` gives it, where it is `gated`.
        """
        module = self.module
        taken = module.layer_norm(hidden) if self.norm_first else hidden
        gate = gate_of(module.attention, taken) if self.gated else None
        heads = valid.attend(*self.project(taken), gate=gate, bias=bias)
        hidden = hidden + self.combine(heads)
        if not self.norm_first:
            hidden = module.layer_norm(hidden)
            output: Tensor = module.final_layer_norm(hidden + module.feed_forward(hidden))
            return output
        hidden = hidden + module.feed_forward(module.final_layer_norm(hidden))
        adapter = getattr(module, "adapter_layer", None)  # of a language, in some wav2vec 2.0
        return hidden if adapter is None else hidden + adapter(hidden)


def gate_of(attention: Any, hidden: Tensor) -> Tensor:
    """Return by what a frame multiplies the bias of all positions, (B, H, T, 1).

    A gated recurrent unit over each head's share of the input (Chen et al. 2022, equation 7).
    """
    shares = in_heads(hidden, attention.num_heads).transpose(1, 2)
    gates = attention.gru_rel_pos_linear(shares)
    gates = gates.reshape(*gates.shape[:-1], 2, 4).sum(-1).sigmoid()
    update, reset = gates.chunk(2, dim=-1)
    gate: Tensor = update * (reset * attention.gru_rel_pos_const - 1) + 2
    return gate


def project_by_three(attention: Any, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return query, key and value of an attention with a projection for each."""
    query, key, value = (
        in_heads(linear(hidden), attention.num_heads)
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    return query, key, value


def in_heads(hidden: Tensor, num_heads: int) -> Tensor:
    """Return (B, T, H x D) as (B, T, H, D)."""
    return hidden.view(*hidden.shape[:-1], num_heads, -1)
