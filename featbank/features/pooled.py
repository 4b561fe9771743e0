"""One vector an utterance: the mean and the spread of its frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from featbank.base.components import Identity
from featbank.base.framing import Framing
from featbank.errors import ConfigError
from featbank.features.base import AudioBatch, Extractor, LongWaveform, Output, Weights
from featbank.features.shapes import BatchShape

Features = dict[str, Any]

_SUFFIX = "_stats"


class Pooled(Extractor):
    """Pools the frames of another extractor over each utterance: `<name>_stats`, (..., 2 D).

    The means of all dimensions, then their standard deviations over the count of frames, as the
    statistics pooling of x-vectors has them (Snyder et al., 2018). Computed in float64 around the
    first frame.

    Args:
        extractor: of the frames.

    Raises:
        ConfigError: a feature is of codes, or of one value an utterance already.
    """

    version: ClassVar[int] = 1

    def __init__(self, *, extractor: Extractor) -> None:
        self.extractor = extractor
        codes = [name for name, output in extractor.outputs.items() if output.is_codes]
        if codes or extractor.framing.is_whole:
            raise ConfigError(
                "extractor to be pooled",
                expected="features that are floats, frame by frame",
                got=f"codes {codes}" if codes else "one value an utterance",
            )

    @property
    def framing(self) -> Framing:
        """The grid of one value an utterance that has a frame."""
        inner = self.extractor.framing
        return Framing.whole(sample_rate=inner.sample_rate, min_samples=inner.min_samples)

    @property
    def outputs(self) -> Mapping[str, Output]:
        """`<name>_stats` for each feature, with twice as many dimensions."""
        return {
            f"{name}{_SUFFIX}": Output((*output.shape[:-1], 2 * output.shape[-1]))
            for name, output in self.extractor.outputs.items()
        }

    @property
    def libraries(self) -> Sequence[str]:
        """Libraries of the extractor."""
        return self.extractor.libraries

    @property
    def weights(self) -> Weights:
        """Weights of the extractor."""
        return self.extractor.weights

    def weights_of(self, feature: str) -> Weights:
        """Return the weights of the extractor that computes the frames."""
        return self.extractor.weights_of(feature.removesuffix(_SUFFIX))

    def identity(self, output: str | None = None) -> Identity:
        """Return its own identity, around that of the extractor of a feature's frames."""
        inner = self.extractor.identity(output and output.removesuffix(_SUFFIX))
        return replace(super().identity(), arguments={"extractor": inner.to_json()}, weights="")

    @property
    def max_samples(self) -> int | None:
        """The limit of the extractor."""
        return self.extractor.max_samples

    @property
    def uses_device(self) -> bool:
        """Whether the extractor uses a device."""
        return self.extractor.uses_device

    @property
    def in_bfloat16(self) -> bool:
        """Whether the extractor computes in bfloat16."""
        return self.extractor.in_bfloat16

    def to(self, device: str) -> None:
        """Move the extractor."""
        self.extractor.to(device)

    def batch_shape(self, num_samples: int, batch_samples: int) -> BatchShape | None:
        """Return the shape in which the extractor computes an utterance."""
        return self.extractor.batch_shape(num_samples, batch_samples)

    @property
    def batches(self) -> bool:
        """Whether the extractor does."""
        return super().batches and self.extractor.batches

    def compute_batch(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Pool the features of a padded batch on its device; see `Extractor.compute_batch`."""
        num_frames = _num_frames(num_samples, self.extractor.framing)
        return {
            f"{name}{_SUFFIX}": _pooled_rows(frames, num_frames)
            for name, frames in self.extractor.compute_batch(waveforms, num_samples).items()
        }

    def compute_features(self, batch: AudioBatch, split: str) -> list[Features]:
        """Pool the features of a batch; see `Extractor.compute_features`."""
        return [
            {"id": row["id"], **self._pooled([row])}
            for row in self.extractor.compute_features(batch, split)
        ]

    def compute_pieces(
        self,
        recording: LongWaveform,
        split: str,
        *,
        batch_samples: int = 0,
    ) -> Iterator[Features]:
        """Pool a long utterance; see `Extractor.compute_pieces`."""
        options = {"batch_samples": batch_samples} if batch_samples else {}
        yield self._pooled(self.extractor.compute_pieces(recording, split, **options))

    def _pooled(self, pieces: Iterable[Features]) -> Features:
        names = list(self.extractor.outputs)
        statistics = {name: _Statistics() for name in names}
        for piece in pieces:
            for name in names:
                statistics[name].add(np.asarray(piece[name]))
        return {f"{name}{_SUFFIX}": statistics[name].values() for name in names}


class _Statistics:
    """Sums of frames and of their squares, around the first one."""

    def __init__(self) -> None:
        self._first: npt.NDArray[np.float64] | None = None
        self._count = 0
        self._sum: Any = 0.0
        self._squares: Any = 0.0

    def add(self, frames: npt.NDArray[Any]) -> None:
        """Add frames (n, ..., D)."""
        if self._first is None:
            self._first = frames[0].astype(np.float64)
        around = frames - self._first
        self._count += len(frames)
        self._sum = self._sum + around.sum(axis=0)
        self._squares = self._squares + (around * around).sum(axis=0)

    def values(self) -> npt.NDArray[np.float32]:
        """Return means and standard deviations, (..., 2 D)."""
        assert self._first is not None
        mean = self._sum / self._count
        variance = np.maximum(self._squares / self._count - mean * mean, 0.0)
        return np.concatenate([self._first + mean, np.sqrt(variance)], axis=-1).astype(np.float32)


def _pooled_rows(frames: torch.Tensor, num_frames: torch.Tensor) -> torch.Tensor:
    """Return means and standard deviations (B, ..., 2 D) of the first frames of each row.

    Args:
        frames: (B, T, ..., D).
        num_frames: (B,), of each row.
    """
    exact = frames.double()
    ones = [1] * (frames.ndim - 2)
    valid = torch.arange(frames.shape[1], device=frames.device) < num_frames.unsqueeze(1)
    first, count = exact[:, :1], num_frames.view(-1, *ones)
    around = (exact - first).masked_fill_(~valid.view(*valid.shape, *ones), 0.0)
    mean = around.sum(dim=1) / count
    variance = (around.square().sum(dim=1) / count - mean.square()).clamp(min=0.0)
    return torch.cat([first[:, 0] + mean, variance.sqrt()], dim=-1).float()


def _num_frames(num_samples: torch.Tensor, framing: Framing) -> torch.Tensor:
    """Return what `Framing.num_frames` gives of lengths that have a frame, where these are."""
    if not framing.snip_edges:
        return (num_samples + framing.hop_length // 2) // framing.hop_length
    padded = framing.left + num_samples + framing.right
    return 1 + (padded - framing.window_length) // framing.hop_length
