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
from typing import TypeAlias

import torch
from torchaudio.models import Wav2Vec2Model
from torchaudio.models.wav2vec2.components import SelfAttention

from featbank.base.framing import Framing

Tensor: TypeAlias = torch.Tensor
Mask: TypeAlias = Tensor | None
"""(B, T), true where a frame is no padding; None: all frames are valid."""

Layer: TypeAlias = Callable[[Tensor, Tensor | None, Mask], tuple[Tensor, Tensor | None]]
"""Takes hidden states (B, T, D), the position bias that WavLM's layers hand on, and the mask."""


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
    """

    convolutions: Sequence[Convolution]
    project: Callable[[Tensor], Tensor]
    positions: Callable[[Tensor, Mask], Tensor]
    norm: Callable[[Tensor], Tensor]
    norm_first: bool
    layers: Sequence[Layer]

    def convolve(self, waveforms: Tensor) -> Tensor:
        """Turn waveforms (B, S) into frames (B, T, C)."""
        hidden = waveforms.unsqueeze(1)
        for convolution in self.convolutions:
            hidden = convolution.run(hidden)
        return hidden.transpose(1, 2)

    def states(self, frames: Tensor, num_layers: int, mask: Mask = None) -> list[Tensor]:
        """Return what the first layer takes and what each of the first layers gives.

        Args:
            frames: (B, T, C), of the convolutions.
            num_layers: that are run.
            mask: of the frames that may be seen; the others are zero to the positional convolution,
                which pads by zeros itself, and hidden from attention.

        Returns:
            (B, T, D) for each state from 0 to `num_layers`, before a norm behind the last layer.
        """
        hidden = self.project(frames)
        if mask is not None:
            hidden = hidden * mask.unsqueeze(2)
        hidden = hidden + self.positions(hidden, mask)
        if self.norm_first:
            hidden = self.norm(hidden)
        states, position_bias = [hidden], None
        for layer in self.layers[:num_layers]:
            hidden, position_bias = layer(hidden, position_bias, mask)
            states.append(hidden)
        return states

    def final(self, last: Tensor) -> Tensor:
        """Return the output of the whole model, given what its last layer gave."""
        return last if self.norm_first else self.norm(last)


def padding_scores(mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask of padded frames, to be added to the scores of attention.

    Args:
        mask: (B, T), true where a frame is no padding.
        like: the hidden states; in another dtype attention on a CPU misreads them without a word.

    Returns:
        (B, T) of 0 and -inf.
    """
    return like.new_zeros(mask.shape).masked_fill(~mask, float("-inf"))


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
        layers=[partial(_run_layer, layer) for layer in transformer.layers],
    )


def _run_convolution(layer: torch.nn.Module, hidden: Tensor) -> Tensor:
    output: Tensor
    output, _ = layer(hidden, None)
    return output


def _run_layer(
    layer: torch.nn.Module, hidden: Tensor, bias: Tensor | None, mask: Mask
) -> tuple[Tensor, Tensor | None]:
    options = {}
    if mask is not None:
        scores = padding_scores(mask, hidden)
        if isinstance(layer.attention, SelfAttention):
            rows = scores.view(len(mask), 1, 1, -1).expand(-1, 1, mask.shape[1], -1)
            options = {"attention_mask": rows}
        else:  # WavLM's
            options = {"key_padding_mask": scores}
    output: tuple[Tensor, Tensor | None] = layer(hidden, position_bias=bias, **options)
    return output
