"""Log-mel spectrograms as Whisper reads them and as vocoders do, on Slaney's mel scale.

Kaldi's, which most recognisers read, is `featbank.features.signal.kaldi.Fbank`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch

from featbank.features.base import LongWaveform, Output
from featbank.features.signal.dsp import require_filled, slaney_mel_matrix
from featbank.features.signal.stft_front_end import PaddedStftExtractor, StftExtractor
from featbank.features.signal.whisper_mel import scaled


@dataclass(frozen=True, kw_only=True)
class _LogMelExtractor(StftExtractor):
    """What log-mel spectrograms share: triangular filters of unit area on Slaney's mel scale."""

    num_mel_bins: int = 80

    def __post_init__(self) -> None:
        super().__post_init__()
        # the scale is laid out from 0 to exactly half the rate
        self._require("sample_rate", self.sample_rate % 2 == 0, "an even number of Hz")
        self._require("n_fft", self.n_fft % 2 == 0, "an even number of samples")
        self._require("num_mel_bins", self.num_mel_bins >= 1, "at least 1")
        low_freq, high_freq = self._band
        nyquist = self.sample_rate / 2
        self._require("low_freq", 0 <= low_freq < high_freq, f"from 0 to under {high_freq:g} Hz")
        self._require("high_freq", high_freq <= nyquist, f"at most {nyquist:g} Hz")
        require_filled(
            f"{type(self).__name__} num_mel_bins {self.num_mel_bins}",
            self._mel,
            hint="lower num_mel_bins, or raise n_fft",
        )

    @property
    @abstractmethod
    def _band(self) -> tuple[float, float]:
        """Lower edge of the first filter and upper edge of the last, in Hz."""

    @cached_property
    def _mel(self) -> torch.Tensor:
        return slaney_mel_matrix(self.num_mel_bins, self.n_fft, self.sample_rate, *self._band)


@dataclass(frozen=True, kw_only=True)
class WhisperLogMel(_LogMelExtractor):
    """Whisper's log-mel of the utterance alone, without padding to 30 s: (T, num_mel_bins).

    (max(y, peak - 8) + 4) / 4, where y = log10 max(mel filters x |STFT|^2, 1e-10) and the peak is
    the largest y of the recording: `log_mel_spectrogram` of openai/whisper (audio.py), and
    WhisperFeatureExtractor of transformers with padding="do_not_pad". Frames are centred and the
    last one is dropped: num_samples // hop_length.

    The peak counts over the whole recording, so one that is computed in pieces is gone through
    twice. Whisper's encoder sees zeros behind an utterance, up to 30 s: against that, the last
    frame may differ, which sees its mirror image here, and the floor where that one is the peak.

    Args:
        num_mel_bins: 80, or 128 for large-v3 and its descendants.
    """

    version: ClassVar[int] = 1

    sample_rate: int = 16000
    n_fft: int = 400
    hop_length: int = 160

    @property
    def outputs(self) -> Mapping[str, Output]:
        """`log_mel`, (num_mel_bins,)."""
        return {"log_mel": Output((self.num_mel_bins,))}

    @property
    def _padded_samples(self) -> tuple[int, int]:
        # the frame centred on the end of the waveform would need one hop more
        return self.n_fft // 2, self.n_fft // 2 - self.hop_length

    @property
    def _band(self) -> tuple[float, float]:
        return 0.0, self.sample_rate / 2

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        features = super()._compute(waveform)
        return _compressed(features, features["log_mel"].max())

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        peaks = [features["log_mel"].max() for features in super()._compute_windows(recording)]
        peak = torch.stack(peaks).max()
        for features in super()._compute_windows(recording):
            yield _compressed(features, peak)

    def _features(self, rows: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"log_mel": rows}

    def _values(self, power: torch.Tensor) -> torch.Tensor:
        return (power @ self._mel).clamp_(min=1e-10).log10_()


def _compressed(
    features: Mapping[str, torch.Tensor], peak: torch.Tensor
) -> Mapping[str, torch.Tensor]:
    return {name: scaled(rows, peak) for name, rows in features.items()}


@dataclass(frozen=True, kw_only=True)
class VocoderMel(_LogMelExtractor, PaddedStftExtractor):
    """Log-mel that HiFi-GAN and BigVGAN turn back into speech, `mel`: (T, num_mel_bins).

    log max(mel filters x sqrt(|STFT|^2 + 1e-9), 1e-5), the natural logarithm: `mel_spectrogram` of
    jik876/hifi-gan and NVIDIA/BigVGAN (meldataset.py). They mirror (n_fft - hop_length) / 2 samples
    on both sides, so there are num_samples // hop_length frames. The outermost ones see the mirror
    image: with 1024 and 256, the first two and the last one or two.

    Args:
        num_mel_bins: filters.
        low_freq: lower edge of the first filter, in Hz.
        high_freq: upper edge of the last filter, in Hz; None for half the sample rate.
        padding: one of `PADDINGS`.
    """

    version: ClassVar[int] = 1

    num_mel_bins: int = 100
    low_freq: float = 0.0
    high_freq: float | None = None
    padding: str = "same"

    def __post_init__(self) -> None:
        if self.high_freq is None:
            object.__setattr__(self, "high_freq", self.sample_rate / 2)
        super().__post_init__()

    @property
    def outputs(self) -> Mapping[str, Output]:
        """`mel`, (num_mel_bins,)."""
        return {"mel": Output((self.num_mel_bins,))}

    @property
    def _band(self) -> tuple[float, float]:
        assert self.high_freq is not None  # once constructed
        return self.low_freq, self.high_freq

    def _features(self, rows: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"mel": rows}

    def _values(self, power: torch.Tensor) -> torch.Tensor:
        return (power.add_(1e-9).sqrt_() @ self._mel).clamp_(min=1e-5).log_()
