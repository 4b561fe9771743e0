"""What decides the last bits of a computed value, besides its inputs and the code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


def numerics_class() -> dict[str, Any]:
    """Return the numerics class of this process.

    Two machines of one class give equal bits; another instruction set, version of torch or number
    of threads changes the order of sums.
    """
    return {
        "device": "cpu",
        "isa": torch.backends.cpu.get_cpu_capability(),
        "onednn": torch.backends.mkldnn.enabled,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
