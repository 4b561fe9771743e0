"""Hand tensors from the workers of a `DataLoader` to the training process, with no further copy.

torch gives each tensor new shared memory, whose pages the system has to clear and map: that takes
longer than to fill them. Here a worker keeps its pieces of memory, and fills one again once the
training process has let go of the tensor in it. Small tensors travel by value. Pieces have no name,
so that none outlives the processes, and the size of /dev/shm does not bound them.
"""

from __future__ import annotations

import mmap
import os
import weakref
from functools import cache
from math import prod
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

Array = np.ndarray[Any, np.dtype[Any]]

SMALL_BYTES = 1 << 19
"""Tensors below travel through the pipe, which is faster up to about this size."""

_HEADER_BYTES = 64  # the first one tells whether the piece is in use; values are aligned
_FREE, _IN_USE = 0, 1


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> torch.Tensor:
    """Return an uninitialized tensor; in a worker, one that is cheap to hand over."""
    if get_worker_info() is None or not hasattr(os, "memfd_create"):
        return torch.from_numpy(np.empty(shape, dtype))
    if prod(shape) * dtype.itemsize < SMALL_BYTES:
        return torch.from_numpy(np.empty(shape, dtype)).as_subclass(_Handed)
    return _pieces_of(os.getpid()).take(shape, dtype)


class _Handed(torch.Tensor):
    """A tensor that is pickled for another process by our own rule; its results are plain ones."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    piece: _Piece | None = None


class _Piece:
    """Shared memory that is filled again and again."""

    def __init__(self, num_bytes: int) -> None:
        self._descriptor = os.memfd_create("featbank")
        self._map = self._resized(num_bytes)
        self._sent = False

    def grow(self, num_bytes: int) -> None:
        self._map = self._resized(num_bytes)

    def _resized(self, num_bytes: int) -> mmap.mmap:
        os.ftruncate(self._descriptor, num_bytes)
        return mmap.mmap(self._descriptor, num_bytes)

    def __len__(self) -> int:
        return len(self._map)

    @property
    def is_free(self) -> bool:
        return self._map[0] == _FREE

    def fill(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Handed:
        """Return a tensor in it; the piece is free again when nobody has that, here or there."""
        self._map[0] = _IN_USE
        self._sent = False
        array = _array(self._map, shape, dtype)
        weakref.finalize(array, self._dropped, os.getpid()).atexit = False
        tensor = torch.from_numpy(array).as_subclass(_Handed)
        tensor.piece = self
        return tensor

    def sent(self) -> Any:
        """Return what opens it in the process that the tensor is sent to, which is to free it."""
        self._sent = True
        return DupFd(self._descriptor)

    def _dropped(self, process: int) -> None:
        if not self._sent:
            _free(self._map, process)


class _Pieces:
    """The pieces of one worker: as many as batches are on their way at once."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Handed:
        """Return a tensor in a piece that is free."""
        num_bytes = _HEADER_BYTES + prod(shape) * dtype.itemsize
        free = [piece for piece in self._pieces if piece.is_free]
        piece = max(free, key=len, default=None)
        if piece is None:
            piece = _Piece(num_bytes)
            self._pieces.append(piece)
        elif len(piece) < num_bytes:
            piece.grow(num_bytes)
        return piece.fill(shape, dtype)


@cache
def _pieces_of(process: int) -> _Pieces:  # noqa: ARG001 - a fork has pieces of its own
    return _Pieces()


def _array(mapped: mmap.mmap, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.frombuffer(mapped, dtype, prod(shape), _HEADER_BYTES).reshape(shape)


def _receive(handle: Any, num_bytes: int, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    descriptor = handle.detach()
    try:
        mapped = mmap.mmap(descriptor, num_bytes)
    finally:
        os.close(descriptor)
    array = _array(mapped, shape, np.dtype(dtype))
    # torch keeps the array as long as any view of the tensor lives
    weakref.finalize(array, _free, mapped, os.getpid()).atexit = False
    return torch.from_numpy(array)


def _free(mapped: mmap.mmap, process: int) -> None:
    if os.getpid() == process:  # not what a fork of it lets go of
        mapped[0] = _FREE


def _narrowed(array: Array) -> Array:
    """Return integers in 2 or 4 bytes each where these hold them: the pipe is what takes time."""
    if array.dtype.kind != "i" or not array.size:
        return array
    lowest, highest = array.min(), array.max()
    for dtype in (np.int16, np.int32):
        limits = np.iinfo(dtype)
        if limits.min <= lowest and highest <= limits.max:
            return array.astype(dtype)
    return array


def _widen(array: Array, dtype: str) -> torch.Tensor:
    return torch.from_numpy(array.astype(dtype, copy=False))


def _reduce(tensor: _Handed) -> tuple[Any, ...]:
    piece, array = tensor.piece, tensor.detach().numpy()
    if piece is None:
        return _widen, (_narrowed(array), array.dtype.str)
    return _receive, (piece.sent(), len(piece), array.shape, array.dtype.str)


ForkingPickler.register(_Handed, _reduce)
