"""The MD5 of a FLAC's samples, compared with the one in its header."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featbank.errors import AudioError

_WIDTHS = {"PCM_S8": 1, "PCM_16": 2, "PCM_24": 3}
_DTYPES = {1: "int16", 2: "int16", 3: "int32"}  # to read samples of so many bytes
_SCALES = {dtype: np.float32(-np.iinfo(dtype).min) for dtype in _DTYPES.values()}


class FlacMd5:
    """Computes the MD5 of a FLAC's samples while they are decoded, as its encoder did.

    Args:
        subtype: of the file, in libsndfile's words.

    Attributes:
        dtype: to read the samples as; floats do as well, which hold them exactly.
    """

    def __init__(self, subtype: str) -> None:
        self._width = _WIDTHS[subtype]
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.dtype = _DTYPES[self._width]

    @staticmethod
    def reads(subtype: str) -> bool:
        """Tell whether the MD5 of a file's samples can be computed."""
        return subtype in _WIDTHS

    def update(self, block: NDArray[Any]) -> None:
        """Take in samples (n, channels), of `dtype` or as float32 below 1."""
        if block.dtype == np.float32:
            block = (block * _SCALES[self.dtype]).astype(self.dtype)
        self._md5.update(_pcm_bytes(block, self._width))

    def floats(
        self, samples: NDArray[Any], room: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return samples read as `dtype` in [-1, 1): the very floats that libsndfile gives.

        Args:
            samples: of any shape.
            room: of the same shape, for the result; None for an array of its own.
        """
        step = 1 / _SCALES[self.dtype]  # a power of two, as the scale is: nothing is rounded
        found: NDArray[np.float32] = np.multiply(samples, step, out=room, dtype=np.float32)
        return found

    def check(self, path: str | Path, digest: str) -> None:
        """Refuse samples whose MD5 is not that of an `audio_digest`.

        Raises:
            AudioError: the file is damaged.
        """
        if digest != (found := f"md5:{self._md5.hexdigest()}"):
            raise AudioError(
                f"audio {path} is damaged",
                kind="damaged",
                expected=f"samples of {digest}, as its header says",
                got=found,
                hint="encode it again from its source",
            )


def _pcm_bytes(block: NDArray[Any], width: int) -> memoryview:
    """Return samples as FLAC hashes them: interleaved, little-endian, `width` bytes each."""
    little = block.astype(block.dtype.newbyteorder("<"), copy=False)
    if little.itemsize == width:
        return little.data
    # libsndfile puts a sample in the top bytes of the number it gives
    cells = little.view(np.uint8).reshape(-1, little.itemsize)
    return np.ascontiguousarray(cells[:, little.itemsize - width :]).data
