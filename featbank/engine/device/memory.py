"""Memory of the host for batches, used again and again.

A worker holds `NUM_INPUTS` batches of audio and, with a GPU, `NUM_OUTPUTS` of what is stored of
them: at 480 seconds together, six times 31 MB and three times 37 MB for a feature of 768 dimensions
in float16.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from featbank.features.shapes import BatchShape

NUM_INPUTS = 6  # two being decoded, one ready, two with the device, one being written
NUM_OUTPUTS = 3  # two with the device, one being written

_NUM_LENGTHS = 2  # samples and frames


class Block:
    """A block of memory, as large as what was wanted of it so far.

    Args:
        allocate: gives so many bytes, as (num_bytes,) uint8.
    """

    def __init__(self, allocate: Callable[[int], torch.Tensor]) -> None:
        self._allocate = allocate
        self._memory = torch.empty(0, dtype=torch.uint8)

    @property
    def num_bytes(self) -> int:
        """Bytes that it holds by now."""
        return len(self._memory)

    def first(self, num_bytes: int) -> torch.Tensor:
        """Return its first bytes."""
        if num_bytes > len(self._memory):
            self._memory = torch.empty(0, dtype=torch.uint8)  # before there are both
            self._memory = self._allocate(num_bytes)
        return self._memory[:num_bytes]

    def input_of(self, shape: BatchShape) -> tuple[torch.Tensor, torch.Tensor]:
        """Return room for a batch: waveforms (rows, samples) float32, lengths (2, rows) int64."""
        of_lengths = _NUM_LENGTHS * shape.rows * 8
        memory = self.first(of_lengths + shape.rows * shape.samples * 4)
        lengths = memory[:of_lengths].view(torch.int64).view(_NUM_LENGTHS, shape.rows)
        waveforms = memory[of_lengths:].view(torch.float32).view(shape.rows, shape.samples)
        return waveforms, lengths
