"""Parts of the encoders that the transformers library builds."""

from __future__ import annotations

from functools import partial
from typing import Any

from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from featbank.features.encoders.relative_bias import RelativeBias
from featbank.features.encoders.ssl_convolution import Convolution
from featbank.features.encoders.ssl_layers import TransformerLayer, project_by_three
from featbank.features.encoders.ssl_parts import EncoderParts, Mask, Tensor


def transformers_parts(model: Any) -> EncoderParts:
    """Return the parts of a WavLM, HuBERT, wav2vec 2.0 or data2vec model."""
    encoder = model.encoder
    stable = getattr(model.config, "do_stable_layer_norm", False)  # data2vec has none
    first = encoder.layers[0].attention
    return EncoderParts(
        convolutions=[
            Convolution(module=layer, run=layer, activation=layer.activation)
            for layer in model.feature_extractor.conv_layers
        ],
        project=partial(_project, model.feature_projection),
        positions=partial(_positions, encoder.pos_conv_embed),
        norm=encoder.layer_norm,
        norm_first=not stable,
        layers=[_layer(layer, norm_first=stable) for layer in encoder.layers],
        bias=RelativeBias(first) if isinstance(first, WavLMAttention) else None,
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


def _layer(layer: Any, *, norm_first: bool) -> TransformerLayer:
    is_wavlm = isinstance(layer.attention, WavLMAttention)
    return TransformerLayer(
        module=layer,
        alone=partial(_wavlm_alone if is_wavlm else _alone, layer),
        norm_first=norm_first,
        project=partial(project_by_three, layer.attention),
        combine=layer.attention.out_proj,
        gated=is_wavlm,
    )


def _wavlm_alone(layer: Any, hidden: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    output: tuple[Tensor, Tensor] = layer(hidden, position_bias=bias)
    return output


def _alone(layer: Any, hidden: Tensor, _: Tensor | None) -> tuple[Tensor, None]:
    return layer(hidden, attention_mask=None), None
