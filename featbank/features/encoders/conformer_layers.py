"""Layers of Wav2Vec2-BERT over padded rows, in which no frame sees the padding of its row."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from featbank.features.encoders.kept import Kept
from featbank.features.encoders.padded_attention import ValidFrames, aligned
from featbank.features.encoders.ssl_layers import in_heads


def layer_over_padded(
    layer: Any,
    hidden: torch.Tensor,
    valid: ValidFrames,
    positions: torch.Tensor | None,
    relative_keys: RelativeKeys,
) -> torch.Tensor:
    """Run a layer of the library over padded rows (B, T, D).

    Args:
        layer: a `Wav2Vec2BertEncoderLayer`.
        hidden: what it takes.
        valid: its frames that are no padding.
        positions: what the encoder's embedding of positions gives, where it has one.
        relative_keys: of all layers of the model.
    """
    output: torch.Tensor
    if layer.self_attn.position_embeddings_type != "relative_key":
        output = layer(
            hidden,
            attention_mask=valid.scores,
            relative_position_embeddings=positions,
            conv_attention_mask=valid.mask,
        )
        return output
    hidden = layer.ffn1(layer.ffn1_layer_norm(hidden)) * 0.5 + hidden
    normal = layer.self_attn_layer_norm(hidden)
    hidden = hidden + relative_keys.attend(layer.self_attn, normal, valid)
    hidden = hidden + layer.conv_module(hidden, attention_mask=valid.mask)
    hidden = layer.ffn2(layer.ffn2_layer_norm(hidden)) * 0.5 + hidden
    output = layer.final_layer_norm(hidden)
    return output


class RelativeKeys:
    """Attention with a learned key for each distance of two frames (Shaw et al. 2018).

    The library looks up a key for each pair of frames, (T, T, D). There are few distances, 73 in
    w2v-BERT 2.0: here the scores of these are computed, (B, H, T, 73), and then spread over pairs.
    """

    def __init__(self) -> None:
        self._kept = Kept()

    def attend(self, attention: Any, hidden: torch.Tensor, valid: ValidFrames) -> torch.Tensor:
        """Return the output of an attention over padded rows (B, T, D)."""
        query, key, value = (
            in_heads(linear(hidden), attention.num_heads).transpose(1, 2)
            for linear in (attention.linear_q, attention.linear_k, attention.linear_v)
        )
        by_distance = query @ attention.distance_embedding.weight.T * attention.scaling
        pairs = self._distances(attention, hidden.shape[1], hidden.device)
        scores = by_distance.gather(-1, pairs.expand(*query.shape[:2], -1, -1))
        scores += valid.aligned_scores
        heads = scaled_dot_product_attention(
            query, key, value, attn_mask=scores[..., : hidden.shape[1]], scale=attention.scaling
        )
        output: torch.Tensor = attention.linear_out(heads.transpose(1, 2).flatten(2))
        return output

    def _distances(self, attention: Any, size: int, device: torch.device) -> torch.Tensor:
        """Return the number of the distance of each frame to each, (size, aligned(size))."""
        left = attention.left_max_position_embeddings
        right = attention.right_max_position_embeddings

        def make() -> torch.Tensor:
            columns = torch.arange(aligned(size), device=device)
            distances = columns - torch.arange(size, device=device).unsqueeze(1)
            pairs: torch.Tensor = distances.clamp_(-left, right) + left
            return pairs

        return self._kept((device, left, right, size), make)
