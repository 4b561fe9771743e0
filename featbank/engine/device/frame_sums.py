"""Sums of the values of each frame, in the order in which NumPy adds them."""

from __future__ import annotations

import torch

_LANES = 8
_BLOCK = 128


def frame_sums(values: torch.Tensor) -> torch.Tensor:
    """Add up the last axis as `numpy.sum` does, bit for bit, on any device.

    NumPy's sum of contiguous values is pairwise: halves of a multiple of 8 values, down to blocks
    of at most 128, of which 8 sums are kept and added at the end.

    Args:
        values: (..., N).

    Returns:
        (...).

    >>> frame_sums(torch.ones(2, 3, dtype=torch.float64)).tolist()
    [3.0, 3.0]
    """
    size = values.shape[-1]
    if size > _BLOCK:
        half = size // 2 - size // 2 % _LANES
        if 2 * half == size:  # both at once
            halves = frame_sums(values.view(*values.shape[:-1], 2, half))
            return halves[..., 0] + halves[..., 1]
        return frame_sums(values[..., :half]) + frame_sums(values[..., half:])
    if size < _LANES:
        return _in_turn(torch.zeros_like(values[..., :1]).sum(-1), values)
    whole = size - size % _LANES
    sums = values[..., :_LANES]
    for start in range(_LANES, whole, _LANES):
        sums = sums + values[..., start : start + _LANES]
    while sums.shape[-1] > 1:
        sums = sums[..., 0::2] + sums[..., 1::2]
    return _in_turn(sums[..., 0], values[..., whole:])


def _in_turn(total: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    for value in values.unbind(-1):
        total = total + value
    return total
