"""Padding of arrays of several lengths to one tensor, copied once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from featbank.dataset.handing_over import empty
from featbank.errors import ConfigError
from featbank.sequences.checks import refuse_unit
from featbank.store import Store

Array = np.ndarray[Any, np.dtype[Any]]

NO_UNIT = -100
"""Stands behind the end of integers: torch's losses ignore it, and every embedding refuses it."""


class _Padded(NamedTuple):
    values: torch.Tensor
    lengths: torch.Tensor


class Padded(_Padded):
    """Utterances of one feature, padded at their end to the longest: `values, lengths = padded`.

    Args:
        values: (B, T, *shape), or (B, Q, T) for codes.
        lengths: (B,) int64, in frames.
    """

    __slots__ = ()

    def __new__(cls, values: Any, lengths: Any = None) -> Padded:
        """Take both, or one iterable of both: so transformers' Trainer rebuilds any tuple."""
        return super().__new__(cls, *(values if lengths is None else (values, lengths)))

    @property
    def mask(self) -> torch.Tensor:
        """Whether a frame is real, (B, T) bool, T being the greatest length; False for padding.

        Made of `lengths`, where they are, when it is asked for: nothing more is handed over by
        workers.
        """
        longest = int(self.lengths.max()) if len(self.lengths) else 0
        return torch.arange(longest, device=self.lengths.device) < self.lengths[:, None]


def item_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of values in an item: floats as they are read, integers as int64.

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


def padding_values(
    value: float | Mapping[str, float] | None, stores: Mapping[str, Store]
) -> dict[str, float]:
    """Return the padding value of each store.

    Args:
        value: for all of them, or by name. By default 0 for floats and `NO_UNIT` for integers.
        stores: by the name of their values.

    Raises:
        ConfigError: there is no such store, it holds that number as a unit, or its values cannot
            be that number.
    """
    by_name = value if isinstance(value, Mapping) else dict.fromkeys(stores, value)
    if unknown := sorted(map(str, set(by_name) - set(stores))):
        raise ConfigError(
            "padding_value", expected=f"names among {', '.join(stores)}", got=unknown[0]
        )
    return {name: _padding(name, by_name.get(name), store) for name, store in stores.items()}


def _padding(name: str, value: float | None, store: Store) -> float:
    what, is_integer = f"padding_value of {name!r}", store.dtype.kind in "iu"
    if value is None:
        return NO_UNIT if is_integer else 0.0
    if is_integer:
        return refuse_unit(what, value, store.header.codebook_size)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ConfigError(what, expected="a number", got=repr(value)) from None
    if math.isfinite(number) and abs(number) > float(np.finfo(store.dtype).max):
        raise ConfigError(what, expected=f"a value of {store.dtype}", got=value)
    return number


def pad(arrays: Sequence[Array], *, time_axis: int = 0, padding_value: float = 0) -> Padded:
    """Copy arrays into one padded tensor.

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
