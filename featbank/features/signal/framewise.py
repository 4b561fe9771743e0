"""Base of signal features: each frame follows from its own samples, in fixed blocks of frames.

So a recording gives the same bits whether it is computed whole or in pieces.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch

from featbank.errors import ConfigError
from featbank.features.base import LongWaveform
from featbank.features.signal.dsp import mirror_edges, read_mirrored
from featbank.features.utterance_extractor import UtteranceExtractor
from featbank.features.windows import plan_windows, read_windows

# A row's bits do not depend on how many rows share its block, unless it is alone in one (a matrix
# product of one row is another routine). So long recordings are cut at multiples of this: then each
# block, the last one too, is the one that it would be in a recording computed whole.
BLOCK_FRAMES = 256

_WINDOW_FRAMES = 64 * BLOCK_FRAMES  # some three minutes; changes no bit


class FramewiseExtractor(UtteranceExtractor):
    """Computes blocks of frames of a waveform that is mirrored wherever its frames reach beyond it.

    The blocks stay in the processor's cache, whatever the length of the waveform.
    """

    _repeats_edge: ClassVar[bool]
    """Whether the first and last sample are in the mirror image too; see `read_mirrored`."""

    @property
    def max_samples(self) -> int:
        """Length of some minutes; pieces of a longer recording equal the whole, bit for bit."""
        return max(_WINDOW_FRAMES * self.framing.hop_length, self.framing.window_length)

    @property
    def _context_frames(self) -> int:
        """How many frames to either side `_features` may look at, as a multiple of a block."""
        return 0

    @abstractmethod
    def _block(self, frames: torch.Tensor) -> torch.Tensor:
        """Turn the samples of up to `BLOCK_FRAMES` frames (n, window_length) into values (n, D)."""

    @abstractmethod
    def _features(self, rows: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Turn the values of consecutive frames into features (T, D) under their names."""

    def _scaled(self, samples: torch.Tensor) -> torch.Tensor:
        """Return the samples in the range that is computed on."""
        return samples

    def _require(self, option: str, right: bool, expected: str) -> None:
        if not right:
            raise ConfigError(
                f"{type(self).__name__} {option}", expected=expected, got=getattr(self, option)
            )

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        samples = self._scaled(waveform)
        return self._features(
            self._rows(mirror_edges(samples, self.framing, repeats_edge=self._repeats_edge))
        )

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        num_samples = recording.num_samples
        windows = plan_windows(
            num_samples,
            self.framing,
            max_frames=_WINDOW_FRAMES,
            context_frames=self._context_frames,
            multiple=BLOCK_FRAMES,
        )
        for window, read in read_windows(recording, windows):
            samples = read_mirrored(
                self._scaled(torch.from_numpy(read)),
                window.samples,
                self.framing.span(window.frames),
                num_samples,
                repeats_edge=self._repeats_edge,
            )
            features = self._features(self._rows(samples))
            yield {name: rows[window.kept_rows] for name, rows in features.items()}

    def _rows(self, samples: torch.Tensor) -> torch.Tensor:
        """Compute the values of every frame, block by block."""
        frames = samples.unfold(0, self.framing.window_length, self.framing.hop_length)
        return torch.cat([self._block(block) for block in torch.split(frames, BLOCK_FRAMES)])
