"""Encoding of padded rows, in which no row sees its padding or another row.

Padding reaches the valid frames of these models in three ways: the group norm of the first
convolution (the base models) runs over all frames, even where a library takes lengths or a mask;
attention looks at all frames, and torchaudio's WavLM takes no lengths; the positional convolution
looks 64 frames ahead. Here the norms run over the valid frames alone, attention passes the others
by, and the frames that the transformer is given are zero behind the last valid one, as its
convolution pads them.

What is left of a difference to an utterance computed alone is rounding: the sums of another shape
are taken in another order, and those over the waveform in float64, whatever the model computes in.
"""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from featbank.features.encoders.padded_attention import ValidFrames
from featbank.features.encoders.ssl_convolution import Convolution
from featbank.features.encoders.ssl_parts import EncoderParts

_BLOCK_FRAMES = 1024  # whose products are summed at once: many small blocks fill a GPU


def encode_padded(
    parts: EncoderParts,
    waveforms: torch.Tensor,
    num_samples: torch.Tensor,
    *,
    num_layers: int,
    epsilon: float | None,
    dtype: torch.dtype,
) -> list[torch.Tensor]:
    """Return the states of the first transformer layers, as `EncoderParts.states` gives them.

    Args:
        parts: of a model in eval mode.
        waveforms: (B, S) float32, zeros behind the end of each.
        num_samples: (B,), each of at least one frame.
        num_layers: that are run.
        epsilon: added to the variance of waveforms that the model takes with mean 0 and variance 1;
            None: it takes them as they are.
        dtype: of the model.

    Returns:
        (B, T, D) a state; what is behind the last valid frame of a row has no meaning.
    """
    if epsilon is not None:
        waveforms = _normalized(waveforms, num_samples, epsilon)
    hidden, lengths = waveforms.to(dtype).unsqueeze(1), num_samples
    for convolution in parts.convolutions:
        lengths = convolution.num_frames(lengths)
        if convolution.group_norm is None:
            hidden = convolution.run(hidden)
        else:  # the first
            mean, variance = _channel_moments(convolution, waveforms, lengths)
            hidden = convolution.normalized_by(hidden, mean, variance)
    return encode_frames(parts, hidden.transpose(1, 2), lengths, num_layers=num_layers)


def encode_frames(
    parts: EncoderParts, frames: torch.Tensor, num_frames: torch.Tensor, *, num_layers: int
) -> list[torch.Tensor]:
    """Return the states of the transformer over padded frames (B, T, C), (B,) of them valid."""
    valid = ValidFrames(num_frames, frames.shape[1], frames.dtype)
    return parts.states(frames, num_layers, valid)


def _channel_moments(
    convolution: Convolution, waveforms: torch.Tensor, num_frames: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and variance of each channel of the first convolution, (B, C), over valid frames.

    From those of the samples: a hundredth of what the convolution gives.
    """
    conv = convolution.conv
    length, hop = conv.kernel_size[0], conv.stride[0]
    frames = waveforms.double().unfold(1, length, hop)
    frames = frames * _valid(num_frames, frames.shape[1]).unsqueeze(2)
    count = num_frames.double().unsqueeze(1)
    blocks = pad(frames, (0, 0, 0, -frames.shape[1] % _BLOCK_FRAMES))
    blocks = blocks.view(len(blocks), -1, _BLOCK_FRAMES, length)
    mean = blocks.sum(dim=2).sum(dim=1) / count
    squares = (blocks.mT @ blocks).sum(dim=1) / count.unsqueeze(2)
    covariance = squares - mean.unsqueeze(2) * mean.unsqueeze(1)
    return convolution.channel_moments(mean, covariance)


def _normalized(waveforms: torch.Tensor, lengths: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Give the valid samples of each row (B, S) mean 0 and variance 1; the others become 0.

    In float64: where a waveform is near its mean, what float32 leaves of that is all there is.

    Args:
        waveforms: of any type, in which they are returned.
        lengths: (B,), of what is valid.
        epsilon: added to the variance.
    """
    values, counts = waveforms.double(), lengths.unsqueeze(1)
    valid = _valid(lengths, values.shape[1])
    mean = (values * valid).sum(dim=1, keepdim=True) / counts
    centered = (values - mean) * valid
    variance = centered.square().sum(dim=1, keepdim=True) / counts
    return (centered * (variance + epsilon).rsqrt()).to(waveforms.dtype)


def _valid(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Return a mask (B, size), true for the first `lengths` values."""
    return torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)
