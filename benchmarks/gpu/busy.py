"""How long a device was at batches, told by its own clock, and which part of its peak that was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from featbank.features.base import Extractor

# dense peaks by the data sheets, in operations a second, without sparsity
_PEAKS = {
    "B200": {"bfloat16": 2.25e15, "float32": 7.5e13},
    "H200": {"bfloat16": 9.89e14, "float32": 6.7e13},
    "H100": {"bfloat16": 9.89e14, "float32": 6.7e13},
    "A100": {"bfloat16": 3.12e14, "float32": 1.95e13},
    "L40S": {"bfloat16": 3.62e14, "float32": 9.16e13},
}
_PRODUCT_SIZE = {"cuda": 8192, "cpu": 1024}


class DeviceTime:
    """Adds up the time that a device is at the batches of an extractor.

    On a GPU from the first kernel of a batch to its last, gaps within a batch included.

    Attributes:
        num_batches: that were given to it.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_gpu = device.type == "cuda"
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds = 0.0
        self.num_batches = 0

    @contextmanager
    def of(self, extractor: Extractor) -> Iterator[DeviceTime]:
        """Watch an extractor's batches."""
        settings: Any = extractor
        compute = extractor.compute_batch

        def timed(*arguments: Any) -> Any:
            self.num_batches += 1
            if not self._is_gpu:
                began = time.perf_counter()
                try:
                    return compute(*arguments)
                finally:
                    self._seconds += time.perf_counter() - began
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            try:
                return compute(*arguments)
            finally:
                last.record()
                self._events.append((first, last))

        settings.compute_batch = timed
        try:
            yield self
        finally:
            del settings.compute_batch

    @property
    def seconds(self) -> float:
        """Sum of the batches' times; waits for the device."""
        if self._is_gpu:
            torch.cuda.synchronize()
        return self._seconds + sum(first.elapsed_time(last) for first, last in self._events) / 1000


def peak_flops(device: torch.device, precision: str) -> tuple[float, str]:
    """Return the greatest number of operations a second, and where that number is from."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name()
        for known, peaks in _PEAKS.items():
            if known in name:
                return peaks[precision], f"data sheet of {known}"
    return product_flops(device, precision), "measured: the product of two matrices"


def product_flops(device: torch.device, precision: str) -> float:
    """Return the operations a second of a product of two large matrices, the best of three."""
    size, dtype = _PRODUCT_SIZE[device.type], getattr(torch, precision)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    rates = []
    for _ in range(4):
        began = time.perf_counter()
        torch.mm(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize()
        rates.append(2 * size**3 / (time.perf_counter() - began))
    return max(rates[1:])
