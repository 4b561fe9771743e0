"""Encoding of a padded batch, in which no row sees padding or another row.

Padding reaches the valid frames of these models in three ways: the group norm of the first
convolution (the base models) runs over all frames, even where a library takes lengths or a mask;
attention looks at all frames, and torchaudio's WavLM takes no lengths; the positional convolution
looks 64 frames ahead. Here the norms run over the valid frames alone, padded keys are masked, and
the frames that the transformer is given are zero behind the last valid one, as its convolution pads
them.

What is left of a difference to an utterance computed alone is rounding: the sums of another shape
are taken in another order.
"""

from __future__ import annotations

import torch

from featbank.features.encoders.ssl_parts import EncoderParts


def encode_padded(
    parts: EncoderParts,
    waveforms: torch.Tensor,
    num_samples: torch.Tensor,
    *,
    num_layers: int,
    epsilon: float | None,
) -> list[torch.Tensor]:
    """Return the states of the first transformer layers, as `EncoderParts.states` gives them.

    Args:
        parts: of a model in eval mode.
        waveforms: (B, S), zeros behind the end of each.
        num_samples: (B,), each of at least one frame.
        num_layers: that are run.
        epsilon: added to the variance of waveforms that the model takes with mean 0 and variance 1;
            None: it takes them as they are.

    Returns:
        (B, T, D) a state; what is behind the last valid frame of a row has no meaning.
    """
    if epsilon is not None:
        waveforms = _normalized(waveforms, num_samples, epsilon)
    frames, num_frames = _convolved(parts, waveforms, num_samples)
    return parts.states(frames, num_layers, _valid(num_frames, frames.shape[1]))


def _convolved(
    parts: EncoderParts, waveforms: torch.Tensor, num_samples: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the frames of the convolutions, (B, T, C), and how many of each row are valid."""
    hidden, lengths = waveforms.unsqueeze(1), num_samples
    for convolution in parts.convolutions:
        conv, norm = convolution.conv, convolution.group_norm
        lengths = (lengths - conv.kernel_size[0]) // conv.stride[0] + 1
        if norm is None:
            hidden = convolution.run(hidden)
            continue
        hidden = conv(hidden)
        hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        hidden = _normalized(hidden, lengths.unsqueeze(1), norm.eps)
        hidden = hidden * norm.weight.unsqueeze(1) + norm.bias.unsqueeze(1)
        hidden = convolution.activation(hidden)
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
