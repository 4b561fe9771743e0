"""Parts of the encoders that the transformers library builds."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from featbank.features.encoders.ssl_parts import (
    Convolution,
    EncoderParts,
    Mask,
    Tensor,
    padding_scores,
)

_BOTH_MASKS = "Support for mismatched key_padding_mask and attn_mask is deprecated"


def transformers_parts(model: Any) -> EncoderParts:
    """Return the parts of a WavLM, HuBERT, wav2vec 2.0 or data2vec model."""
    encoder = model.encoder
    return EncoderParts(
        convolutions=[
            Convolution(module=layer, run=layer, activation=layer.activation)
            for layer in model.feature_extractor.conv_layers
        ],
        project=partial(_project, model.feature_projection),
        positions=partial(_positions, encoder.pos_conv_embed),
        norm=encoder.layer_norm,
        norm_first=not getattr(model.config, "do_stable_layer_norm", False),  # data2vec has none
        layers=[partial(_run_layer, layer) for layer in encoder.layers],
    )


def _project(projection: Any, frames: Tensor) -> Tensor:
    output: Tensor | tuple[Tensor, Tensor] = projection(frames)
    return output if isinstance(output, Tensor) else output[0]  # [1]: what the quantizer takes


def _positions(embedding: Any, hidden: Tensor, mask: Mask) -> Tensor:
    """Run the positional convolution, or data2vec's stack of them.

    Each pads by zeros, so behind the last valid frame there must be zeros before each.
    """
    hidden = hidden.transpose(1, 2)
    valid = 1 if mask is None else mask.unsqueeze(1)
    stack = getattr(embedding, "layers", None)
    if stack is not None:
        for layer in stack:
            hidden = layer(hidden * valid)
        return hidden.transpose(1, 2)
    if getattr(embedding, "batch_norm", None) is not None:  # some HuBERTs
        hidden = embedding.batch_norm(hidden) * valid
    hidden = embedding.activation(embedding.padding(embedding.conv(hidden)))
    return hidden.transpose(1, 2)


def _run_layer(
    layer: Any, hidden: Tensor, bias: Tensor | None, mask: Mask
) -> tuple[Tensor, Tensor | None]:
    if isinstance(layer.attention, WavLMAttention):
        with warnings.catch_warnings():  # it gives torch a float bias and a mask of booleans
            warnings.filterwarnings("ignore", message=_BOTH_MASKS)
            output: tuple[Tensor, Tensor] = layer(hidden, attention_mask=mask, position_bias=bias)
        return output
    added = None
    if mask is not None:
        scores = padding_scores(mask, hidden)
        added = scores.view(len(mask), 1, 1, -1).expand(-1, 1, mask.shape[1], -1)
    return layer(hidden, attention_mask=added), None
