"""Front end of STFT features: the power spectrum of each frame, on vocoders' or Whisper's grid."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch.nn.functional import pad

from featbank.base.framing import Framing
from featbank.features.signal.framewise import FramewiseExtractor

PADDINGS = ("center", "same")
"""How a waveform is padded at its ends.

center: n_fft // 2 on both sides. Frame t is centred on sample t x hop_length, and there are
num_samples // hop_length + 1 where n_fft is even, as torch.stft and librosa count.

same: (n_fft - hop_length) // 2 on both sides, as HiFi-GAN and BigVGAN do. Frame t is centred on the
middle of its hop, and there are num_samples // hop_length where n_fft - hop_length is even.
"""


@dataclass(frozen=True, kw_only=True)
class StftExtractor(FramewiseExtractor):
    """Base of all features of a short-time Fourier transform.

    The window is a periodic Hann window; the padding mirrors the waveform without repeating its
    edge sample, again and again where it is shorter than the padding.

    Args:
        sample_rate: of the waveforms, in Hz.
        n_fft: length of a frame and of its Fourier transform, in samples.
        hop_length: samples between frames, at most n_fft.
        win_length: of the window, which lies in the middle of the frame; None for n_fft.

    Raises:
        ConfigError: an option is out of range.
    """

    _repeats_edge: ClassVar[bool] = False

    sample_rate: int
    n_fft: int = 1024
    hop_length: int = 256
    win_length: int | None = None

    def __post_init__(self) -> None:
        self._require("sample_rate", self.sample_rate > 0, "over 0 Hz")
        self._require("n_fft", self.n_fft >= 2, "at least 2 samples")
        self._require("hop_length", 1 <= self.hop_length <= self.n_fft, "from 1 to n_fft")
        if self.win_length is None:
            object.__setattr__(self, "win_length", self.n_fft)
        self._require("win_length", 1 <= self._window_length <= self.n_fft, "from 1 to n_fft")

    @cached_property
    def framing(self) -> Framing:
        """The frame grid: frames of n_fft samples."""
        left, right = self._padded_samples
        return Framing(
            sample_rate=self.sample_rate,
            window_length=self.n_fft,
            hop_length=self.hop_length,
            left=left,
            right=right,
        )

    @property
    @abstractmethod
    def _padded_samples(self) -> tuple[int, int]:
        """How many samples are put before the waveform and behind it."""

    @abstractmethod
    def _values(self, power: torch.Tensor) -> torch.Tensor:
        """Turn power spectra (frames, n_fft // 2 + 1) into the values of the feature."""

    def _block(self, frames: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft(frames * self._window)
        return self._values(spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag))

    @property
    def _window_length(self) -> int:
        assert self.win_length is not None  # once constructed
        return self.win_length

    @cached_property
    def _window(self) -> torch.Tensor:
        length = self._window_length
        before = (self.n_fft - length) // 2
        return pad(torch.hann_window(length), (before, self.n_fft - length - before))


@dataclass(frozen=True, kw_only=True)
class PaddedStftExtractor(StftExtractor):
    """Base of STFT features on either of two grids.

    Args:
        padding: one of `PADDINGS`.
    """

    padding: str = "center"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("padding", self.padding in PADDINGS, " or ".join(PADDINGS))

    @property
    def _padded_samples(self) -> tuple[int, int]:
        return padded_samples(self.padding, self.n_fft, self.hop_length)


def padded_samples(padding: str, frame_length: int, hop_length: int) -> tuple[int, int]:
    """Return how many samples one of `PADDINGS` puts before a waveform and behind it.

    >>> padded_samples("center", 1024, 256), padded_samples("same", 1024, 256)
    ((512, 512), (384, 384))
    """
    overhang = frame_length if padding == "center" else frame_length - hop_length
    return overhang // 2, overhang // 2
