"""Convolutions padded by zeros on both sides, over padded rows: DAC, and the encoders of X-Codec.

Each row gives what it gives alone if, at every convolution, there are zeros behind its end: alone
these are the convolution's own padding.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

Tensor: TypeAlias = torch.Tensor


def encode_dac(encoder: Any, waveforms: Tensor, num_samples: Tensor) -> tuple[Tensor, Tensor]:
    """Run the encoder of DAC (Kumar et al., 2023, of transformers) over padded rows.

    Args:
        encoder: the library's.
        waveforms: (B, N), zeros behind the end of each.
        num_samples: (B,), of each row.

    Returns:
        (B, C, T) and the number of frames (B,) of each row.
    """
    hidden, lengths = encoder.conv1(waveforms.unsqueeze(1)), num_samples
    for block in encoder.block:
        for unit in (block.res_unit1, block.res_unit2, block.res_unit3):
            inner, _ = convolve_symmetric(unit.conv1, unit.snake1(hidden), lengths)
            hidden = hidden + unit.conv2(unit.snake2(inner))
        hidden, lengths = convolve_symmetric(block.conv1, block.snake1(hidden), lengths)
    return convolve_symmetric(encoder.conv2, encoder.snake1(hidden), lengths)


def encode_semantic(encoder: Any, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Run the encoder that X-Codec has behind its SSL model (`SemanticEncoder` of transformers).

    Args:
        encoder: the library's.
        hidden: (B, C, T), of the SSL model; what is behind the end of a row does not matter.
        lengths: (B,), of each row.

    Returns:
        (B, C', T') and the lengths (B,) in it.
    """
    hidden, lengths = convolve_symmetric(encoder.conv, hidden, lengths)
    for block in encoder.conv_blocks:
        for unit in block.res_units:
            inner, _ = convolve_symmetric(unit.conv1, unit.activation(hidden), lengths)
            hidden = hidden + unit.conv2(unit.activation(inner))
        hidden, lengths = convolve_symmetric(block.conv, hidden, lengths)
    return hidden, lengths


def convolve_symmetric(
    conv: torch.nn.Conv1d, hidden: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Run a convolution of odd size over padded rows: see `encode_dac`.

    Args:
        conv: padded by zeros on both sides.
        hidden: (B, C, N), which is the caller's no more: what is behind an end becomes zero.
        lengths: (B,), of each row.

    Returns:
        (B, C', N') and the lengths (B,) in it.
    """
    reach = int(conv.padding[0])  # that a row alone is padded by, and no frame sees beyond
    last = hidden.shape[2] - 1
    behind = lengths.unsqueeze(1) + torch.arange(reach, device=hidden.device)
    positions = behind.clamp(max=last).unsqueeze(1).expand(-1, hidden.shape[1], -1)
    # a row without anything behind it keeps its last value, at which its positions all are
    is_full = (lengths > last).view(-1, 1, 1)
    kept = hidden.gather(2, positions).masked_fill_(~is_full, 0.0)
    hidden.scatter_(2, positions, kept)
    return conv(hidden), convolved_length(conv, lengths)


def convolved_length(conv: torch.nn.Conv1d, lengths: Any) -> Any:
    """Return how many steps a convolution makes of a number of them, or of a tensor of numbers."""
    [size], [stride], [step], padding = conv.kernel_size, conv.stride, conv.dilation, conv.padding
    return (lengths + 2 * int(padding[0]) - step * (size - 1) - 1) // stride + 1
