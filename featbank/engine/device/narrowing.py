"""Narrow a batch of values to the dtype of a store where they were computed, on the device.

What comes of a row is what `featbank.store.encoding` makes of it on the host, bit for bit: stored
values, scale, greatest error and sum of errors. Of rows that cannot be stored, this tells no more
than which they are; the host says why.
"""

from __future__ import annotations

from math import fsum
from typing import NamedTuple

import numpy as np
import torch

from featbank.engine.device.frame_sums import frame_sums
from featbank.features.base import Output
from featbank.store import Encoded, find_encoding

_AT_ONCE = 1 << 25  # values: what is kept beside them takes 20 bytes each, for a moment
_EXPONENTS = {
    torch.float32: (torch.int32, 0x7F800000),
    torch.float16: (torch.int16, 0x7C00),
    torch.bfloat16: (torch.int16, 0x7F80),
}


class Narrowed(NamedTuple):
    """A batch as stores hold it, and what that changes.

    Args:
        stored: (rows, T, *shape), of the bits that are stored.
        is_bad: (rows,), of rows with a value that is not finite, or out of range.
        greatest: (rows,), the greatest error of a value; None where nothing is rounded.
        sums: (rows, T) float64, the errors of each frame; None where nothing is rounded.
        scale: (rows, *shape) float32, where the dtype has one.
    """

    stored: torch.Tensor
    is_bad: torch.Tensor
    greatest: torch.Tensor | None = None
    sums: torch.Tensor | None = None
    scale: torch.Tensor | None = None

    def encoded(self, row: int, num_frames: int, dtype: str) -> Encoded:
        """Return a row, once it is on the host, as writers of shards take it."""
        stored = self.stored[row, :num_frames].numpy().view(find_encoding(dtype).stored)
        if self.greatest is None or self.sums is None:
            return Encoded(stored)
        return Encoded(
            stored,
            None if self.scale is None else self.scale[row].numpy(),
            float(self.greatest[row]),
            fsum(self.sums[row, :num_frames].tolist()),
        )


class Narrowing:
    """Narrows one output of an extractor to a dtype.

    Args:
        output: of the extractor.
        dtype: that it is stored as.
    """

    def __init__(self, output: Output, dtype: str) -> None:
        self.dtype = dtype
        self._codebook_size = output.codebook_size
        self._has_scale = find_encoding(dtype).has_scale

    def __call__(self, values: torch.Tensor, valid: torch.Tensor | None) -> Narrowed:
        """Narrow a batch.

        Args:
            values: (rows, T, *shape), floats, or integers for codes.
            valid: (rows, T) or more, of frames that belong to an utterance; None for all.
        """
        if valid is not None:  # of the feature with the most frames
            valid = valid[:, : values.shape[1]]
        values = values.contiguous()  # codes come with the codebooks first, seen from the side
        if self._codebook_size is not None:
            return self._codes(values, valid, self._codebook_size)
        if values.dtype != torch.float64 and values.dtype != self._torch_dtype:
            values = values.float()
        if values.dtype == self._torch_dtype:
            return Narrowed(_bits(values), _is_not_finite(values, valid))
        rows = max(1, _AT_ONCE * len(values) // max(1, values.numel()))
        parts = [
            self._rounded(part, None if valid is None else valid[start : start + rows])
            for start, part in zip(
                range(0, len(values), rows), torch.split(values, rows), strict=True
            )
        ]
        if len(parts) == 1:
            return parts[0]
        return Narrowed(
            *(None if one[0] is None else torch.cat(one) for one in zip(*parts, strict=True))  # type: ignore[arg-type]
        )

    def widened(self, narrowed: Narrowed) -> torch.Tensor:
        """Return values as a read of the store gives them, in float32: (rows, T, *shape)."""
        if narrowed.scale is not None:
            return narrowed.stored * narrowed.scale.unsqueeze(1)
        return narrowed.stored.view(self._torch_dtype).float()

    @property
    def _torch_dtype(self) -> torch.dtype:
        found = torch.int8 if self._has_scale else getattr(torch, self.dtype)
        assert isinstance(found, torch.dtype)
        return found

    def _rounded(self, values: torch.Tensor, valid: torch.Tensor | None) -> Narrowed:
        scale = None
        if self._has_scale:
            scale = self._scale(values, valid)
            step = scale.unsqueeze(1)
            steps = torch.where(step > 0, values / step, 0.0)
            stored = steps.round().clamp(-127, 127).to(torch.int8)
            back = stored * step
        else:
            # float64 by way of float32 to bfloat16, as on the host, but to float16 at once
            through = values.float() if self._torch_dtype is torch.bfloat16 else values
            if through.dtype is torch.float64 and self._torch_dtype is torch.float16:
                through = _rounded_to_odd(through)
            stored = through.to(self._torch_dtype)
            back = stored
        difference = (values - back).abs().flatten(2)
        greatest = difference.amax(2) if difference.shape[2] else difference.sum(2)
        if valid is not None:
            greatest = torch.where(valid, greatest, 0.0)
        # what was not finite is not by now, but for steps of an infinite scale
        is_bad = _is_not_finite(back, valid)
        if self._has_scale:
            is_bad |= _is_not_finite(values, valid)
        return Narrowed(
            _bits(stored), is_bad, greatest.amax(1), frame_sums(difference.double()), scale
        )

    @staticmethod
    def _scale(values: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
        """Return the scale of each row and dimension: a 127th of the greatest magnitude."""
        magnitudes = values.abs()
        if valid is not None:
            mask = valid.view(*valid.shape, *[1] * (values.ndim - 2))
            magnitudes = torch.where(mask, magnitudes, 0.0)
        return (magnitudes.amax(1).double() / 127).float()

    def _codes(
        self, values: torch.Tensor, valid: torch.Tensor | None, codebook_size: int
    ) -> Narrowed:
        is_bad = _any((values < 0) | (values >= codebook_size), valid)
        return Narrowed(values.to(self._torch_dtype), is_bad)


def _rounded_to_odd(values: torch.Tensor) -> torch.Tensor:
    """Return float64 in float32, of which float16 is rounded as of float64 itself.

    torch goes by way of float32 too, and rounds twice: values a little off the middle of two others
    go the wrong way. Rounded to odd (Boldo and Melquiond 2008), none comes to lie in the middle.
    """
    near = values.float()
    bits = near.view(torch.int32) - (near.double().abs() > values.abs()).int()  # towards zero
    return (bits | (near.double() != values).int()).view(torch.float32)


def _any(wrong: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Tell of each row whether something is wrong in a frame of its own."""
    in_frame = wrong.flatten(2).any(2)
    return (in_frame if valid is None else in_frame & valid).any(1)


def _is_not_finite(values: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Tell of each row whether a value in a frame of its own is NaN or infinite.

    By the exponent, which is all ones then: several times as fast as `isfinite` on the CPU.
    """
    if values.dtype not in _EXPONENTS or not values.numel():
        return _any(~values.isfinite(), valid)
    integers, exponent = _EXPONENTS[values.dtype]
    exponents = (values.view(integers) & exponent).flatten(2)
    if valid is None:
        return exponents.flatten(1).amax(1) == exponent
    return ((exponents.amax(2) == exponent) & valid).any(1)


def _bits(stored: torch.Tensor) -> torch.Tensor:
    """Return bfloat16, which NumPy has not, as integers of the same bits."""
    return stored.view(torch.int16) if stored.dtype is torch.bfloat16 else stored


def as_floats(values: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Return computed values as the extractors' contract has them on the host."""
    on_host = values.cpu()
    if on_host.is_floating_point() and on_host.dtype != torch.float64:
        on_host = on_host.float()
    found: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = on_host.numpy()
    return found
