"""Nearest centroids on a device, and which of them the CPU would surely choose, too.

A unit is what the CPU's search gives in float32 (`Codebook.assign`): where two centroids are nearly
equally near, rounding decides, and another device may round the other way. Here scores are computed
in float64, in which they are all but exact, and held against the most that float32 can be off: a
sum of n products, added in any order, by n 2^-24 of the sum of their magnitudes (Higham 2002,
Accuracy and Stability of Numerical Algorithms, 3.1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from featbank.tokenizers.codebook import Codebook

_UNIT_ROUNDOFF = 2.0**-24
_MARGIN = 1.1  # over the first order of the bound, and for what float64 rounds
_LEAST = 1e-30  # what sums of numbers below float32's normal ones may be off
_SCORES_AT_ONCE = 1 << 25


class Units(NamedTuple):
    """The units of frames.

    Args:
        units: (N, Q) int32 of Q codebooks.
        is_sure: (N,), of frames to which the CPU gives the same.
    """

    units: torch.Tensor
    is_sure: torch.Tensor


class SureAssignment:
    """Assigns units on a device.

    Args:
        codebook: of the units.
        device: that frames are on.
    """

    def __init__(self, codebook: Codebook, device: torch.device) -> None:
        self._books = [
            _Book.of(book.to(device), mean.to(device)) for book, mean in codebook.centered
        ]

    def __call__(self, frames: torch.Tensor) -> Units:
        """Assign frames (N, D) float32 that are finite; to others, anything."""
        at_once = max(1, _SCORES_AT_ONCE // len(self._books[0].centroids))
        parts = [self._assigned(part) for part in torch.split(frames, at_once)]
        return Units(*(torch.cat(one) for one in zip(*parts, strict=True)))

    def _assigned(self, frames: torch.Tensor) -> Units:
        left = frames
        columns, sure = [], []
        for book in self._books:
            labels, is_sure = book.nearest(left)
            columns.append(labels.int())
            sure.append(is_sure)
            left = left - book.centroids[labels]  # in float32, as the CPU does
        return Units(torch.stack(columns, 1), torch.stack(sure).all(0))


class _Book(NamedTuple):
    """One codebook: centroids (K, D), their mean, and what `NearestCentroid` has of them."""

    centroids: torch.Tensor
    mean: torch.Tensor
    transposed: torch.Tensor
    bias: torch.Tensor
    norms: torch.Tensor

    @classmethod
    def of(cls, centroids: torch.Tensor, mean: torch.Tensor) -> _Book:
        around = (centroids - mean).double()
        bias = around.square().sum(1) / -2
        return cls(centroids, mean, around.T.contiguous(), bias, around.norm(dim=1))

    def nearest(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the nearest centroid of each frame, and whether no other may be the CPU's."""
        around = (frames - self.mean).double()  # subtracted in float32, as the CPU does
        scores = torch.addmm(self.bias, around, self.transposed)
        highest, labels = scores.max(1)
        # the bias, a sum of squares, was rounded before; it is as large as the score's own part
        terms = _MARGIN * _UNIT_ROUNDOFF * (around.shape[1] + 2)
        off = terms * (around.norm(dim=1, keepdim=True) * self.norms - 2 * self.bias) + _LEAST
        least = highest - off.gather(1, labels[:, None]).squeeze(1)
        others = (scores + off).scatter(1, labels[:, None], -torch.inf)
        return labels, others.amax(1) < least
