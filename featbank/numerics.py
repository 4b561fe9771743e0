"""What decides the last bits of a computed value, besides its inputs and the code."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
)


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
        # what a user sets to make the libraries use less than the processor has
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


@contextlib.contextmanager
def thread_count(number: int) -> Iterator[None]:
    """Compute in a number of threads, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
