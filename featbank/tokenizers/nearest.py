"""Nearest-centroid search: the inner loop of fitting and of assignment."""

from __future__ import annotations

import torch

BLOCK_FRAMES = 2048
"""Frames whose scores are held at once; more would fall out of the processor's cache."""


class NearestCentroid:
    """Finds the nearest centroid of each frame.

    A frame x is nearest to the centroid c with the highest score x·c - |c|²/2, which is
    (|x|² - |x - c|²) / 2: one matrix product, and the frame's own square is never needed.

    Args:
        centroids: (K, D) float32, on the device that computes. Around zero, and so the frames: of a
            mean of a thousand times the spread, float32 leaves too little of the differences.
    """

    def __init__(self, centroids: torch.Tensor) -> None:
        self._transposed = centroids.T.contiguous()
        self._bias = centroids.square().sum(dim=1) / -2

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the nearest centroids; of several equally near ones the first.

        Args:
            frames: (T, D) float32, at most `BLOCK_FRAMES`.

        Returns:
            Their indices, (T,) int64.
        """
        return _first_highest(self._scores(frames))

    def scored(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices and their scores, both (T,)."""
        scores = self._scores(frames)
        nearest = _first_highest(scores)
        return nearest, scores.gather(1, nearest[:, None]).squeeze(1)

    def _scores(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self._bias, frames, self._transposed)


def _first_highest(scores: torch.Tensor) -> torch.Tensor:
    if scores.device.type != "cpu":
        return scores.argmax(dim=1)
    return torch.from_numpy(scores.numpy().argmax(axis=1))  # several times as fast as torch
