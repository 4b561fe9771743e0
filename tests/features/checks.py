from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featbank.features.base import AudioBatch, Extractor


class Payload:
    """Touches the file `ran` when it is unpickled: what a hostile file would do, and worse."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


class Held:
    """A waveform in memory, read in blocks."""

    def __init__(self, waveform: torch.Tensor) -> None:
        self._waveform = waveform.numpy()

    @property
    def num_samples(self) -> int:
        return len(self._waveform)

    def blocks(self, num_samples_per_block: int) -> Iterator[np.ndarray]:
        for start in range(0, self.num_samples, num_samples_per_block):
            yield self._waveform[start : start + num_samples_per_block]


def compute_pieces(extractor: Extractor, waveform: torch.Tensor) -> list[dict[str, np.ndarray]]:
    """Compute the features of one utterance piece by piece."""
    return list(extractor.compute_pieces(Held(waveform), "test"))


def joined(pieces: list[dict[str, np.ndarray]], name: str) -> np.ndarray:
    return np.concatenate([piece[name] for piece in pieces])


def compute(extractor: Extractor, waveform: torch.Tensor) -> dict[str, np.ndarray]:
    """Compute the features of one utterance alone."""
    [features] = extractor.compute_features(AudioBatch(ids=["a"], waveforms=[waveform]), "test")
    return features


def assert_batch_mates_change_no_bit(
    extractor: Extractor, waveforms: dict[str, torch.Tensor]
) -> None:
    """Compare each utterance alone with itself in batches of both orders, bit for bit."""
    for ids in (list(waveforms), list(waveforms)[::-1]):
        batch = AudioBatch(ids=ids, waveforms=[waveforms[id] for id in ids])  # noqa: A001
        for features in extractor.compute_features(batch, "train"):
            alone = compute(extractor, waveforms[features["id"]])
            for name in extractor.outputs:
                assert np.array_equal(features[name], alone[name]), features["id"]


def boundary_lengths(window_length: int, hop_length: int) -> list[int]:
    """Lengths around every change of the frame count over the first few frames."""
    edges = [window_length + n * hop_length for n in range(4)] + [2 * window_length]
    return sorted({length + d for length in edges for d in (-1, 0, 1)} - {window_length - 1})
