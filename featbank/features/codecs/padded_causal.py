"""Causal convolutions over padded rows, of which each gives what it gives alone: EnCodec and Mimi.

What is behind the end of a row cannot reach a frame before it, but for one way: a convolution of a
stride fills the last step of what it is given, by zeros, the last value or a mirror, and so does
the next one (`EncodecConv1d` and `MimiConv1d` of transformers, of the SEANet encoder: Tagliasacchi
et al., 2020). In a batch each of them finds that behind the end of each row. A mirror before the
first value may reach beyond the end of a very short row, where alone there are zeros.

Unlike the library's own, nothing here asks the device for a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import torch
from torch.nn.functional import pad

Tensor: TypeAlias = torch.Tensor

_ZEROS = "constant"


def encode_causal(layers: Iterable[Any], hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Run the layers of a SEANet encoder over padded rows.

    Args:
        layers: of transformers' EnCodec or Mimi: convolutions, residual blocks, and what gives each
            step by those before it, such as an LSTM or an activation.
        hidden: (B, C, N); what is behind the end of a row does not matter.
        lengths: (B,), of each row.

    Returns:
        (B, C', N') and the lengths (B,) in it.
    """
    for layer in layers:
        if hasattr(layer, "conv"):
            hidden, lengths = convolve_causal(layer, hidden, lengths)
        elif hasattr(layer, "block"):
            inner, _ = encode_causal(layer.block, hidden, lengths)
            residual, _ = encode_causal([layer.shortcut], hidden, lengths)
            hidden = residual + inner
        else:
            hidden = layer(hidden)
    return hidden, lengths


def convolve_causal(layer: Any, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Run one causal convolution, with the padding that the library gives each row alone.

    Args:
        layer: the library's: `conv`, the convolution proper, and `pad_mode`: constant (zeros),
            replicate or reflect.
        hidden: (B, C, N).
        lengths: (B,), of each row.

    Returns:
        (B, C', N') and the lengths (B,) in it.
    """
    conv, mode, device = layer.conv, layer.pad_mode, hidden.device
    [size], [stride], [step] = conv.kernel_size, conv.stride, conv.dilation
    before = (size - 1) * step + 1 - stride
    # one less than the stride is room for what fills the last step of the longest row
    padded = pad(hidden, (before, -hidden.shape[2] % stride + stride - 1))
    if before and mode != _ZEROS:
        positions = torch.arange(-before, 0, device=device).expand(len(lengths), -1)
        padded[..., :before] = _values_at(positions, hidden, lengths, mode, before, stride)
    if stride > 1:
        positions = lengths.unsqueeze(1) + torch.arange(stride - 1, device=device)
        values = _values_at(positions, hidden, lengths, mode, before, stride)
        padded.scatter_(2, _in_each_channel(before + positions, hidden), values)
    return conv(padded), (lengths + stride - 1) // stride


def _values_at(
    positions: Tensor, hidden: Tensor, lengths: Tensor, mode: str, before: int, stride: int
) -> Tensor:
    """Return what the library pads each row with at positions (B, P) outside of it: (B, C, P)."""
    ends = lengths.unsqueeze(1)
    if mode == _ZEROS:
        source = ends.expand_as(positions)
    elif mode == "replicate":
        source = torch.minimum(positions.clamp(min=0), ends - 1)
    else:
        # behind a row that is no longer than its padding the library puts zeros, and mirrors these
        longest = (-ends % stride).clamp(min=before)
        mirrors = torch.maximum(ends, longest + 1) - 1
        beyond = torch.where(positions > mirrors, 2 * mirrors - positions, ends)
        source = torch.where(positions < 0, -positions, beyond)
    within = source.clamp(0, hidden.shape[2] - 1)
    values = hidden.gather(2, _in_each_channel(within, hidden))
    return values.masked_fill_((source >= ends).unsqueeze(1), 0.0)


def _in_each_channel(positions: Tensor, hidden: Tensor) -> Tensor:
    return positions.unsqueeze(1).expand(-1, hidden.shape[1], -1)
