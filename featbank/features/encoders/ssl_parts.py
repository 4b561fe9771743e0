"""Parts of wav2vec 2.0 and its relatives, whichever library built the model.

Convolutions turn the waveform into frames, a projection gives these the width of the transformer,
a positional convolution says where they stand, and layers of attention follow. One norm stands
before the first layer (the models that normalise behind each layer, "base") or behind the last
(those that normalise before it, "stable layer norm", mostly the large ones).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch.nn.functional import linear
from torchaudio.models import Wav2Vec2Model
from torchaudio.models.wav2vec2.wavlm_attention import WavLMSelfAttention

from featbank.base.framing import Framing
from featbank.features.encoders.padded_attention import ValidFrames
from featbank.features.encoders.relative_bias import RelativeBias
from featbank.features.encoders.ssl_convolution import Convolution
from featbank.features.encoders.ssl_layers import TransformerLayer, in_heads, project_by_three

Tensor: TypeAlias = torch.Tensor
Mask: TypeAlias = Tensor | None
"""(B, T), true where a frame is no padding; None: all frames are valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderParts:
    """The parts of a model of wav2vec 2.0's build: convolutions, projection, layers, norm.

    Args:
        convolutions: over the waveform.
        project: gives frames (B, T, C) the width of the transformer.
        positions: the positional convolution, to be added to what it takes.
        norm: before the first layer or behind the last.
        norm_first: which of the two.
        layers: of the transformer.
        bias: of the positions, for layers that are gated.
    """

    convolutions: Sequence[Convolution]
    project: Callable[[Tensor], Tensor]
    positions: Callable[[Tensor, Mask], Tensor]
    norm: Callable[[Tensor], Tensor]
    norm_first: bool
    layers: Sequence[TransformerLayer]
    bias: RelativeBias | None = None

    def num_frames(self, num_samples: Tensor) -> Tensor:
        """Return how many frames the convolutions give of so many samples."""
        for convolution in self.convolutions:
            num_samples = convolution.num_frames(num_samples)
        return num_samples

    def convolve(self, waveforms: Tensor) -> Tensor:
        """Turn waveforms (B, S) into frames (B, T, C)."""
        hidden = waveforms.unsqueeze(1)
        for convolution in self.convolutions:
            hidden = convolution.run(hidden)
        return hidden.transpose(1, 2)

    def states(
        self, frames: Tensor, num_layers: int, valid: ValidFrames | None = None
    ) -> list[Tensor]:
        """Return what the first layer takes and what each of the first layers gives.

        Args:
            frames: (B, T, C), of the convolutions.
            num_layers: that are run.
            valid: those of padded rows that may be seen; the others are zero to the positional
                convolution, which pads by zeros itself, and hidden from attention. None: there is
                one row, without padding.

        Returns:
            (B, T, D) for each state from 0 to `num_layers`, before a norm behind the last layer.
        """
        hidden = self.project(frames)
        mask = None if valid is None else valid.mask
        if mask is not None:
            hidden = hidden * mask.unsqueeze(2)
        hidden = hidden + self.positions(hidden, mask)
        if self.norm_first:
            hidden = self.norm(hidden)
        states = [hidden]
        if valid is not None:
            bias = None if self.bias is None else self.bias(hidden.shape[1])
            for layer in self.layers[:num_layers]:
                states.append(layer.padded(states[-1], valid, bias))
            return states
        handed_on = None
        for layer in self.layers[:num_layers]:
            hidden, handed_on = layer.alone(hidden, handed_on)
            states.append(hidden)
        return states

    def final(self, last: Tensor) -> Tensor:
        """Return the output of the whole model, given what its last layer gave."""
        return last if self.norm_first else self.norm(last)


def convolution_framing(convolutions: Iterable[tuple[int, int]], sample_rate: int) -> Framing:
    """Return the frame grid of convolutions: their receptive field, hopped by all their strides.

    Args:
        convolutions: kernel size and stride of each.
        sample_rate: of what the first one takes, in Hz.

    >>> convolution_framing([(10, 5), (3, 2), (2, 2)], 16000).window_length
    30
    """
    window_length = hop_length = 1
    for kernel_size, stride in convolutions:
        window_length += (kernel_size - 1) * hop_length
        hop_length *= stride
    return Framing(sample_rate=sample_rate, window_length=window_length, hop_length=hop_length)


def torchaudio_parts(model: Wav2Vec2Model) -> EncoderParts:
    """Return the parts of one of torchaudio's models."""
    transformer = model.encoder.transformer
    first = transformer.layers[0].attention
    return EncoderParts(
        convolutions=[
            Convolution(
                module=layer,
                run=partial(_run_convolution, layer),
                activation=torch.nn.functional.gelu,
            )
            for layer in model.feature_extractor.conv_layers
        ],
        project=model.encoder.feature_projection,
        positions=lambda hidden, _: transformer.pos_conv_embed(hidden),
        norm=transformer.layer_norm,
        norm_first=transformer.layer_norm_first,
        layers=[_layer(layer) for layer in transformer.layers],
        bias=RelativeBias(first) if isinstance(first, WavLMSelfAttention) else None,
    )


def _run_convolution(layer: torch.nn.Module, hidden: Tensor) -> Tensor:
    output: Tensor
    output, _ = layer(hidden, None)
    return output


def _layer(layer: Any) -> TransformerLayer:
    attention = layer.attention
    is_wavlm = isinstance(attention, WavLMSelfAttention)
    return TransformerLayer(
        module=layer,
        alone=lambda hidden, bias: layer(hidden, position_bias=bias),
        norm_first=layer.layer_norm_first,
        project=partial(_project_at_once if is_wavlm else project_by_three, attention),
        combine=attention.attention.out_proj if is_wavlm else attention.out_proj,
        gated=is_wavlm,
    )


def _project_at_once(attention: Any, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    projection = attention.attention
    projected = linear(hidden, projection.in_proj_weight, projection.in_proj_bias)
    query, key, value = (in_heads(one, attention.num_heads) for one in projected.chunk(3, dim=-1))
    return query, key, value
