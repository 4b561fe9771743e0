"""Arrays of several lengths as one padded tensor, copied once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from featbank.dataset.handing_over import empty

Array = np.ndarray[Any, np.dtype[Any]]


class Padded(NamedTuple):
    """Utterances of one feature, padded at their end to the longest.

    Args:
        values: (B, T, *shape), or (B, Q, T) for codes.
        lengths: (B,) int64, in frames.
    """

    values: torch.Tensor
    lengths: torch.Tensor


def item_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what values are given as: floats as they are read, integers as int64.

    Tokens are stored in the smallest unsigned integers; torch looks up embeddings by int64.

    >>> item_dtype(np.dtype("uint16"))
    dtype('int64')
    """
    return np.dtype(np.int64) if dtype.kind in "iu" else dtype


def stack(arrays: Sequence[Array]) -> torch.Tensor:
    """Copy arrays of one shape (*shape) into one tensor (B, *shape), as `pad` does."""
    values = empty((len(arrays), *arrays[0].shape), item_dtype(arrays[0].dtype))
    values.numpy()[:] = arrays
    return values


def pad(arrays: Sequence[Array], *, time_axis: int = 0, padding_value: float = 0) -> Padded:
    """Copy arrays into one tensor.

    In a worker of a `DataLoader` the tensor reaches the training process without another copy.

    Args:
        arrays: one or more, (T, *shape) or (Q, T), alike but for T.
        time_axis: 0, or -1 for (Q, T).
        padding_value: behind the end of each.
    """
    lengths = empty((len(arrays),), np.dtype(np.int64))
    lengths.numpy()[:] = [one.shape[time_axis] for one in arrays]
    frame = list(arrays[0].shape)
    frame[time_axis] = int(lengths.numpy().max())
    values = empty((len(arrays), *frame), item_dtype(arrays[0].dtype))
    lines = values.numpy()
    if time_axis == -1:
        lines, arrays = np.moveaxis(lines, -1, 1), [np.moveaxis(one, -1, 0) for one in arrays]
    for line, one in zip(lines, arrays, strict=True):
        length = len(one)
        line[:length] = one
        line[length:] = padding_value
    return Padded(values, lengths)
