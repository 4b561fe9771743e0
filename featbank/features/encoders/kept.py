"""Tensors on a device that follow from a shape alone, made once each."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch

_MOST_BYTES = 1 << 30


class Kept:
    """Keeps tensors by a key, until they take so many bytes; further ones are made at each call.

    None is dropped again, since a CUDA graph may read it.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._left = most_bytes
        self._tensors: dict[Hashable, torch.Tensor] = {}

    def __call__(self, key: Hashable, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return the tensor of a key."""
        if key in self._tensors:
            return self._tensors[key]
        made = make()
        if made.nbytes <= self._left:
            self._left -= made.nbytes
            self._tensors[key] = made
        return made
