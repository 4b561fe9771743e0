"""A padded batch through one of torchaudio's encoders, so that no row sees padding or another row.

Padding reaches the valid frames of these models in three ways: the group norm of the first
convolution (the base models) runs over all frames, even under torchaudio's `lengths`; attention
looks at all frames, and torchaudio's WavLM takes no `lengths`; the positional convolution looks 64
frames ahead. Here the norms run over the valid frames alone, padded keys are masked, and the frames
that the transformer is given are zero behind the last valid one, as its convolution pads them.

What is left of a difference to an utterance computed alone is rounding: the sums of another shape
are taken in another order.
"""

from __future__ import annotations

import torch
from torch.nn.functional import gelu
from torchaudio.models import Wav2Vec2Model
from torchaudio.models.wav2vec2.components import SelfAttention

from featbank.features.ssl_front_end import LAYER_NORM_EPSILON


def encode_padded(
    model: Wav2Vec2Model,
    waveforms: torch.Tensor,
    num_samples: torch.Tensor,
    *,
    num_layers: int,
    normalize_waveform: bool,
) -> list[torch.Tensor]:
    """Return the output of each of the first transformer layers, as `extract_features` gives it.

    Args:
        model: in eval mode.
        waveforms: (B, S), zeros behind the end of each.
        num_samples: (B,), each of at least one frame.
        num_layers: that are run.
        normalize_waveform: whether the model takes waveforms of mean 0 and variance 1.

    Returns:
        (B, T, D) a layer; what is behind the last valid frame of a row has no meaning.
    """
    if normalize_waveform:
        waveforms = _normalized(waveforms, num_samples, LAYER_NORM_EPSILON)
    frames, num_frames = _convolved(model, waveforms, num_samples)
    valid = _valid(num_frames, frames.shape[1])
    hidden = model.encoder.feature_projection(frames) * valid.unsqueeze(2)
    transformer = model.encoder.transformer
    hidden = hidden + transformer.pos_conv_embed(hidden)
    if transformer.layer_norm_first:
        hidden = transformer.layer_norm(hidden)
    outputs, position_bias = [], None
    for layer in transformer.layers[:num_layers]:
        hidden, position_bias = layer(
            hidden, position_bias=position_bias, **_attention_mask(layer.attention, ~valid)
        )
        outputs.append(hidden)
    return outputs


def _convolved(
    model: Wav2Vec2Model, waveforms: torch.Tensor, num_samples: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the frames of the convolutions, (B, T, D), and how many of each row are valid."""
    hidden, lengths = waveforms.unsqueeze(1), num_samples
    for layer in model.feature_extractor.conv_layers:
        if not isinstance(layer.layer_norm, torch.nn.GroupNorm):  # none, or one over the channels
            hidden, lengths = layer(hidden, lengths)
            continue
        norm = layer.layer_norm
        assert norm.num_groups == norm.num_channels
        lengths = (lengths - layer.kernel_size) // layer.stride + 1
        hidden = _normalized(layer.conv(hidden), lengths.unsqueeze(1), norm.eps)
        hidden = gelu(hidden * norm.weight.unsqueeze(1) + norm.bias.unsqueeze(1))
    return hidden.transpose(1, 2), lengths


def _normalized(values: torch.Tensor, lengths: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Give the valid values along the last axis mean 0 and variance 1; the others become 0.

    Args:
        values: (..., N).
        lengths: of what is valid, of a shape that broadcasts to all but the last axis.
        epsilon: added to the variance.
    """
    valid = _valid(lengths, values.shape[-1])
    counts = lengths.unsqueeze(-1)
    mean = (values * valid).sum(dim=-1, keepdim=True) / counts
    centered = (values - mean) * valid
    variance = centered.square().sum(dim=-1, keepdim=True) / counts
    return centered * (variance + epsilon).rsqrt()


def _valid(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Return a mask (..., size), true for the first `lengths` values."""
    return torch.arange(size, device=lengths.device) < lengths.unsqueeze(-1)


def _attention_mask(attention: torch.nn.Module, padded: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what tells a layer of an encoder which frames, (B, T), are padding, for its scores."""
    batch_size, size = padded.shape
    mask = torch.zeros(padded.shape, device=padded.device).masked_fill(padded, float("-inf"))
    if not isinstance(attention, SelfAttention):  # WavLM's
        return {"key_padding_mask": mask}
    return {"attention_mask": mask.view(batch_size, 1, 1, size).expand(-1, 1, size, -1)}
