"""Transfer of tensors from `DataLoader` workers to the training process, without a copy.

torch gives each tensor new shared memory, whose pages the system has to clear and map: that takes
longer than to fill them. Here a worker keeps its pieces of memory, and fills one again once neither
it nor the training process has any view of the tensor in it. Small tensors travel by value. Pieces
have no name, so that none outlives the processes, and the size of /dev/shm does not bound them.
"""

from __future__ import annotations

import copy
import mmap
import os
import weakref
from functools import cache
from math import prod
from multiprocessing.reduction import DupFd, ForkingPickler
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch.multiprocessing.reductions import reduce_tensor
from torch.utils.data import get_worker_info

Array = np.ndarray[Any, np.dtype[Any]]

SMALL_BYTES = 1 << 19
"""Tensors below travel through the pipe, which is faster up to about this size."""

_SPARE_PIECES = 4  # that a worker keeps, though none of its batches needs them now
# the first bytes of a piece tell who looks at it; values behind them are aligned
_HEADER_BYTES = 64
_WORKER, _RECEIVER, _FORK = range(3)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> torch.Tensor:
    """Return an uninitialized tensor; in a worker, one that is cheap to hand over."""
    if get_worker_info() is None or not _has_memory_files():
        return torch.from_numpy(np.empty(shape, dtype))
    if prod(shape) * dtype.itemsize < SMALL_BYTES:
        return torch.from_numpy(np.empty(shape, dtype)).as_subclass(_Handed)
    return _pieces_of(os.getpid()).take(shape, dtype)


@cache
def _has_memory_files() -> bool:
    """Tell whether the system makes files without a name: some sandboxes refuse, macOS cannot."""
    try:
        os.close(os.memfd_create("featbank"))
    except (AttributeError, OSError):
        return False
    return True


class _Handed(torch.Tensor):
    """A tensor that is sent to the training process by our own rule; its results are plain ones."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    piece: _Piece | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        copied: torch.Tensor = copy.deepcopy(self.as_subclass(torch.Tensor), memo)
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be saved as a plain tensor."""
        return self.as_subclass(torch.Tensor).__reduce_ex__(protocol)  # type: ignore[no-untyped-call]


class _Piece:
    """Shared memory that is filled again and again."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("featbank")
        self._map: mmap.mmap | None = None
        self._address = 0  # of the values
        self._is_sent = False
        weakref.finalize(self, os.close, self._descriptor).atexit = False

    def __len__(self) -> int:
        return 0 if self._map is None else len(self._map)

    @property
    def is_free(self) -> bool:
        return self._map is None or not any(self._map[: _FORK + 1])

    @property
    def is_forked(self) -> bool:
        """Whether a fork of the training process may look at it for ever."""
        return self._map is not None and bool(self._map[_FORK])

    def fill(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Handed:
        """Return a tensor in it."""
        num_bytes = _HEADER_BYTES + prod(shape) * dtype.itemsize
        if self._map is None or len(self) < num_bytes:
            os.ftruncate(self._descriptor, num_bytes)
            self._map = mmap.mmap(self._descriptor, num_bytes)
        self._map[_WORKER] = 1
        self._is_sent = False
        array = _array(self._map, shape, dtype)
        weakref.finalize(array, _let_go, self._map, _WORKER, os.getpid()).atexit = False
        tensor = torch.from_numpy(array).as_subclass(_Handed)
        self._address = tensor.data_ptr()
        tensor.piece = self
        return tensor

    def is_whole(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor still lies in it as it was made, and is not yet on its way."""
        return (
            not self._is_sent
            and tensor.data_ptr() == self._address
            and tensor.is_contiguous()
            and _HEADER_BYTES + tensor.nbytes <= len(self)
        )

    def send(self) -> tuple[Any, int]:
        """Return what opens it in the process that the tensor is sent to, and its size."""
        assert self._map is not None
        self._is_sent = True
        self._map[_RECEIVER] = 1
        return DupFd(self._descriptor), len(self)


class _Pieces:
    """The pieces of one worker: as many as batches are looked at or on their way, and a few."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._lock = Lock()  # a collate function may have threads

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Handed:
        """Return a tensor in a piece that is free."""
        with self._lock:
            free = sorted((piece for piece in self._pieces if piece.is_free), key=len)
            dropped = [*free[:-_SPARE_PIECES], *(one for one in self._pieces if one.is_forked)]
            self._pieces = [piece for piece in self._pieces if piece not in dropped]
            if not free:
                self._pieces.append(_Piece())
            return (free or self._pieces)[-1].fill(shape, dtype)


@cache
def _pieces_of(process: int) -> _Pieces:  # noqa: ARG001 - a fork has pieces of its own
    return _Pieces()


def _array(mapped: mmap.mmap, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.frombuffer(mapped, dtype, prod(shape), _HEADER_BYTES).reshape(shape)


def _let_go(mapped: mmap.mmap, who: int, process: int) -> None:
    if os.getpid() == process:  # not what a fork of it lets go of
        mapped[who] = 0


_received: dict[int, mmap.mmap] = {}
"""The pieces of workers that this process looks at, by their identity here."""


def _keep_received() -> None:
    for mapped in list(_received.values()):
        mapped[_FORK] = 1


if hasattr(os, "register_at_fork"):  # a fork looks at the same memory, and cannot let it go
    os.register_at_fork(before=_keep_received)


def _receive(
    handle: Any, num_bytes: int, shape: tuple[int, ...], dtype: torch.dtype
) -> torch.Tensor:
    descriptor = handle.detach()
    try:
        mapped = mmap.mmap(descriptor, num_bytes)
    finally:
        os.close(descriptor)
    _received[id(mapped)] = mapped
    array = _array(mapped, shape, np.dtype(str(dtype).removeprefix("torch.")))
    # torch keeps the array as long as any view of the tensor lives
    weakref.finalize(array, _release, mapped, os.getpid()).atexit = False
    return torch.from_numpy(array)


def _release(mapped: mmap.mmap, process: int) -> None:
    _received.pop(id(mapped), None)
    _let_go(mapped, _RECEIVER, process)


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
    piece, plain = tensor.piece, tensor.as_subclass(torch.Tensor).detach()
    if piece is not None and piece.is_whole(plain):
        return _receive, (*piece.send(), tuple(plain.shape), plain.dtype)
    if piece is None and plain.nbytes < SMALL_BYTES:
        array = plain.numpy()
        return _widen, (_narrowed(array), array.dtype.str)
    reduced: tuple[Any, ...] = reduce_tensor(plain)  # type: ignore[no-untyped-call]
    return reduced


ForkingPickler.register(_Handed, _reduce)
