"""Read a long recording ahead of what computes its windows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from featbank.features.base import LongWaveform


class ReadAhead:
    """A long waveform of which a thread reads the next block while the last one is in use.

    Args:
        recording: that is read.
    """

    def __init__(self, recording: LongWaveform) -> None:
        self._recording = recording

    @property
    def num_samples(self) -> int:
        """Length, at the extractor's rate."""
        return self._recording.num_samples

    def blocks(self, num_samples_per_block: int) -> Iterator[NDArray[np.float32]]:
        """Read it from its start; see `LongWaveform.blocks`. Errors come where their block would.

        No more than two blocks are held.
        """
        blocks = self._recording.blocks(num_samples_per_block)
        with ThreadPoolExecutor(1, thread_name_prefix="read ahead") as thread:
            ahead = thread.submit(next, blocks, None)
            while (block := ahead.result()) is not None:
                ahead = thread.submit(next, blocks, None)
                yield block
