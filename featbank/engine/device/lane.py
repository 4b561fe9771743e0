"""The streams of a device, and memory that it copies from; on the CPU there is nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import Any, Protocol

import torch

from featbank.errors import FeatbankError
from featbank.numerics import CPU

_ALIGNED = 256  # bytes: where a tensor may begin in a block of memory


class Lane(Protocol):
    """How tensors come to a device and back, beside what it computes.

    The CPU computes where the tensors are, at once. A GPU is told what to do and does it later, so
    that what is on its way must not be changed before `arrived`.
    """

    is_behind: bool
    """Whether the device computes later, beside the process."""

    def memory(self, num_bytes: int) -> torch.Tensor:
        """Return memory of the host that the device copies to and from, (num_bytes,) uint8."""

    def send(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return tensors on the device, which computes with them once they are there."""

    def fetch(
        self, tensors: Sequence[torch.Tensor], memory: Callable[[int], torch.Tensor]
    ) -> tuple[list[torch.Tensor], Callable[[], None]]:
        """Copy what the device will have computed to memory of the host.

        Args:
            tensors: on the device; kept by the caller until they have arrived.
            memory: gives so many bytes.

        Returns:
            The tensors on the host, and what waits until they are there.
        """

    def aside(self) -> AbstractContextManager[Any]:
        """Let this thread use the device without waiting for what others had it compute."""


class HostLane:
    """The CPU as its own device."""

    is_behind = False

    def memory(self, num_bytes: int) -> torch.Tensor:
        """Return memory; see `Lane`."""
        return torch.empty(num_bytes, dtype=torch.uint8)

    def send(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the tensors; see `Lane`."""
        return list(tensors)

    def fetch(
        self,
        tensors: Sequence[torch.Tensor],
        memory: Callable[[int], torch.Tensor],  # noqa: ARG002 - they are on the host
    ) -> tuple[list[torch.Tensor], Callable[[], None]]:
        """Return the tensors, which are there; see `Lane`."""
        return list(tensors), lambda: None

    def aside(self) -> AbstractContextManager[Any]:
        """Do nothing; see `Lane`."""
        return nullcontext()


class GpuLane:
    """A GPU, with a stream for each direction beside the one that computes.

    To be used by one thread, but for `aside`.
    """

    is_behind = True

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._inward = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._outward = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def memory(self, num_bytes: int) -> torch.Tensor:
        """Return pinned memory; see `Lane`.

        Raises:
            FeatbankError: the machine gives none, for it is short of it or a limit is reached.
        """
        try:
            return torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True)
        except RuntimeError as error:  # of which torch.OutOfMemoryError is one
            raise FeatbankError(
                "memory of the host that the GPU copies from",
                expected=f"{num_bytes:,} bytes more, pinned",
                got=str(error).partition("\n")[0],
                hint="lower batch_s, or the workers of this machine; `ulimit -l` may limit it",
            ) from error

    def send(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Copy on a stream of its own; the computing stream waits for it. See `Lane`."""
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._inward):
            sent = [tensor.to(self._device, non_blocking=True) for tensor in tensors]
        computing.wait_stream(self._inward)
        for tensor in sent:
            tensor.record_stream(computing)
        return sent

    def fetch(
        self, tensors: Sequence[torch.Tensor], memory: Callable[[int], torch.Tensor]
    ) -> tuple[list[torch.Tensor], Callable[[], None]]:
        """Copy on a stream of its own, behind what is computed by now. See `Lane`."""
        self._outward.wait_stream(torch.cuda.current_stream(self._device))
        found = _laid_out(tensors, memory)
        arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._outward):
            for there, here in zip(tensors, found, strict=True):
                here.copy_(there, non_blocking=True)
            arrived.record(self._outward)
        return found, arrived.synchronize

    def aside(self) -> AbstractContextManager[Any]:
        """Use a stream that nobody else does; see `Lane`."""
        return torch.cuda.stream(self._aside)


def lane_to(device: str) -> Lane:
    """Return the lane to a device."""
    return HostLane() if device == CPU else GpuLane(device)


def _laid_out(
    tensors: Sequence[torch.Tensor], memory: Callable[[int], torch.Tensor]
) -> list[torch.Tensor]:
    """Return room for tensors in one block of memory."""
    sizes = [prod(tensor.shape) * tensor.itemsize for tensor in tensors]
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + -(-size // _ALIGNED) * _ALIGNED)
    block = memory(starts[-1])
    return [
        block[start : start + size].view(tensor.dtype).view(tensor.shape)
        for tensor, start, size in zip(tensors, starts, sizes, strict=False)
    ]
