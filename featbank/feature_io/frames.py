"""Read the frames of one utterance in a foreign file, all or the part that is asked for."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from featbank.errors import LIBRARY_ERRORS, StoreError
from featbank.feature_io.base import Array

DAMAGE: tuple[type[Exception], ...] = (OSError, *LIBRARY_ERRORS)
"""What h5py, lilcom and NumPy raise of a damaged file."""

NUMBERS = frozenset("biufc")
"""The kinds of dtypes whose values are numbers, as NumPy letters them."""


class Frames(Protocol):
    """The frames of one utterance, of which a slice reads what it needs."""

    sure_frames: int
    """How many there are at least, as far as that is known without reading any."""

    def __len__(self) -> int:
        """Return the number of frames."""

    def __getitem__(self, frames: slice, /) -> Array:
        """Return some, (frames, ...), given a start and a stop from 0 to their number."""


class Whole:
    """Frames that have been read already."""

    def __init__(self, values: Array, where: str) -> None:
        if not values.ndim or values.dtype.kind not in NUMBERS:
            raise no_numbers(where, f"values of {values.dtype}, shape {values.shape}")
        self.sure_frames = len(values)
        self._values = values

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._values)

    def __getitem__(self, frames: slice) -> Array:
        """Return some."""
        values: Array = self._values[frames]
        return values


class Chunked:
    """Frames in chunks of one size, the last one rest: a slice reads those that it needs."""

    def __init__(self, num_chunks: int, chunk_size: int) -> None:
        """Begin; subclasses give `chunk`.

        Args:
            num_chunks: of the utterance.
            chunk_size: frames of each but the last.
        """
        self._num_chunks = num_chunks
        self._chunk_size = chunk_size
        self._last: Array | None = None
        self.sure_frames = max(num_chunks - 1, 0) * chunk_size

    def chunk(self, number: int) -> Array:
        """Return the frames of one chunk."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Return the number of frames; the last chunk is read for it."""
        return self.sure_frames + (len(self._read(self._num_chunks - 1)) if self._num_chunks else 0)

    def __getitem__(self, frames: slice) -> Array:
        """Return some."""
        if not self._num_chunks:  # nobody knows the shape of a frame
            return np.empty(0, np.float32)
        first = min(frames.start // self._chunk_size, self._num_chunks - 1)
        stop = max(-(-frames.stop // self._chunk_size), first + 1)
        chunks = [self._read(number) for number in range(first, min(stop, self._num_chunks))]
        for number, one in enumerate(chunks, first):
            if number < self._num_chunks - 1 and len(one) != self._chunk_size:
                raise ValueError(f"{len(one)} frames in a chunk of {self._chunk_size}")
        shift = first * self._chunk_size
        values: Array = np.concatenate(chunks)[frames.start - shift : frames.stop - shift]
        return values

    def _read(self, number: int) -> Array:
        if number < self._num_chunks - 1:
            return self.chunk(number)
        if self._last is None:
            self._last = self.chunk(number)
        return self._last


def no_numbers(where: str, got: str, hint: str = "") -> StoreError:
    """Return the error about values that are no features."""
    return StoreError(where, expected="numbers (T, ...)", got=got, hint=hint)
