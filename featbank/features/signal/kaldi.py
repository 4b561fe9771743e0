"""Kaldi's log-mel filterbank and MFCC, without dither.

The numbers are those of `torchaudio.compliance.kaldi` (and so of Kaldi's feat/ directory) up to
float32 rounding. Against calling torchaudio's function, the window and the matrices are built once,
the frames go through in blocks that stay in the processor's cache, and the power spectrum needs no
square root: over twice as fast in one thread.

The defaults are torchaudio's. Kaldi's own differ: its `energy_floor` is 0, its MFCC has
`use_energy` true, it dithers, and it reads the 16-bit range (`waveform_scale` 32768).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch

from featbank.base.framing import Framing
from featbank.features.base import Output
from featbank.features.signal.dsp import (
    WINDOWS,
    cepstral_matrix,
    compute_deltas,
    mel_matrix,
    require_filled,
)
from featbank.features.signal.framewise import BLOCK_FRAMES, FramewiseExtractor

INT16_SCALE = 32768.0
"""`waveform_scale` that turns [-1, 1] into the 16-bit range Kaldi reads."""

_EPSILON = torch.finfo(torch.float32).eps  # Kaldi's floor under every logarithm


@dataclass(frozen=True, kw_only=True)
class KaldiExtractor(FramewiseExtractor):
    """Base of filterbank and MFCC: Kaldi's front end.

    Args:
        sample_rate: of the waveforms, in Hz.
        num_mel_bins: triangular filters.
        frame_length_ms: window length in milliseconds; the FFT takes the next power of two.
        frame_shift_ms: time between frames in milliseconds.
        window_type: one of `WINDOWS`.
        preemphasis: coefficient in [0, 1]; 0 for none.
        remove_dc_offset: subtract each frame's mean.
        low_freq: lower edge of the first filter, in Hz.
        high_freq: upper edge of the last filter, in Hz; zero or less counts down from Nyquist.
        use_energy: add the frame's log energy, taken before preemphasis and window.
        energy_floor: least energy, if `use_energy`; 0 for none.
        snip_edges: False mirrors the waveform at its ends, as Kaldi does (see `Framing`).
        waveform_scale: factor on the [-1, 1] waveform before anything else, such as
            `INT16_SCALE`.

    Raises:
        ConfigError: an option is out of range, or a filter is narrower than the FFT can resolve.
    """

    _repeats_edge: ClassVar[bool] = True

    sample_rate: int = 16000
    num_mel_bins: int = 23
    frame_length_ms: float = 25.0
    frame_shift_ms: float = 10.0
    window_type: str = "povey"
    preemphasis: float = 0.97
    remove_dc_offset: bool = True
    low_freq: float = 20.0
    high_freq: float = 0.0
    use_energy: bool = False
    energy_floor: float = 1.0
    snip_edges: bool = True
    waveform_scale: float = 1.0

    def __post_init__(self) -> None:
        nyquist = self.sample_rate / 2
        high_freq = self.high_freq if self.high_freq > 0 else nyquist + self.high_freq
        for option, right, expected in (
            ("sample_rate", self.sample_rate > 0, "over 0 Hz"),
            ("num_mel_bins", self.num_mel_bins > 3, "over 3"),
            ("frame_length_ms", self.framing.window_length >= 2, "at least 2 samples"),
            ("frame_shift_ms", self.framing.hop_length >= 1, "at least 1 sample"),
            ("window_type", self.window_type in WINDOWS, " or ".join(WINDOWS)),
            ("preemphasis", 0 <= self.preemphasis <= 1, "between 0 and 1"),
            ("low_freq", 0 <= self.low_freq < high_freq, f"from 0 to under {high_freq:g} Hz"),
            ("high_freq", high_freq <= nyquist, f"at most {nyquist:g} Hz"),
            ("energy_floor", self.energy_floor >= 0, "0 or more"),
            ("waveform_scale", self.waveform_scale > 0, "over 0"),
        ):
            self._require(option, right, expected)
        object.__setattr__(self, "high_freq", high_freq)  # by whichever of its names
        require_filled(
            f"{type(self).__name__} num_mel_bins {self.num_mel_bins}",
            self._mel,
            hint="lower num_mel_bins, or raise low_freq or frame_length_ms",
        )

    def deciding(self, output: str | None = None) -> dict[str, Any]:
        """Return what decides the values: no floor of an energy that there is not."""
        found = super().deciding(output)
        if not self.use_energy:
            found.pop("energy_floor", None)
        return found

    @cached_property
    def framing(self) -> Framing:
        """The frame grid; lengths are cut to whole samples, as Kaldi does."""
        return Framing(
            sample_rate=self.sample_rate,
            window_length=int(self.sample_rate * self.frame_length_ms * 0.001),
            hop_length=int(self.sample_rate * self.frame_shift_ms * 0.001),
            snip_edges=self.snip_edges,
        )

    @abstractmethod
    def _values(self, log_mel: torch.Tensor, log_energy: torch.Tensor | None) -> torch.Tensor:
        """Turn (frames, num_mel_bins), and (frames, 1) if `use_energy`, into the values stored."""

    def _scaled(self, samples: torch.Tensor) -> torch.Tensor:
        return samples * self.waveform_scale  # a copy, in torch's own memory

    def _block(self, frames: torch.Tensor) -> torch.Tensor:
        return self._values(*self._log_mel(frames))

    def _log_mel(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self.remove_dc_offset:
            frames = frames - frames.mean(dim=1, keepdim=True)
        log_energy = self._log_energy(frames) if self.use_energy else None
        emphasized = frames.clone()
        emphasized[:, 1:].sub_(frames[:, :-1], alpha=self.preemphasis)
        emphasized[:, 0] *= 1 - self.preemphasis  # Kaldi repeats the first sample before itself
        window, mel = self._placed(frames.device)
        emphasized *= window
        spectrum = torch.fft.rfft(emphasized, n=self._fft_length)
        power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        return (power @ mel).clamp_(min=_EPSILON).log_(), log_energy

    def _log_energy(self, frames: torch.Tensor) -> torch.Tensor:
        floor = max(self.energy_floor, _EPSILON)
        return frames.square().sum(dim=1, keepdim=True).clamp_(min=floor).log_()

    def _placed(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the window and the filters on a device."""
        if device not in self._on_devices:
            self._on_devices[device] = (self._window.to(device), self._mel.to(device))
        return self._on_devices[device]

    @cached_property
    def _on_devices(self) -> dict[torch.device, tuple[torch.Tensor, torch.Tensor]]:
        return {}

    @cached_property
    def _fft_length(self) -> int:
        return 1 << (self.framing.window_length - 1).bit_length()

    @cached_property
    def _window(self) -> torch.Tensor:
        return WINDOWS[self.window_type](self.framing.window_length)

    @cached_property
    def _mel(self) -> torch.Tensor:
        return mel_matrix(
            self.num_mel_bins, self._fft_length, self.sample_rate, self.low_freq, self.high_freq
        )


@dataclass(frozen=True, kw_only=True)
class Fbank(KaldiExtractor):
    """Log-mel filterbank, `fbank`: (T, num_mel_bins), or one more with the energy in front."""

    version: ClassVar[int] = 1

    @property
    def outputs(self) -> Mapping[str, Output]:
        """`fbank`, (D,)."""
        return {"fbank": Output((self.num_mel_bins + self.use_energy,))}

    def log_mel(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Return the log-mel filterbank of waveforms (B, S) on any device, (B, T, num_mel_bins).

        For a model that takes it: in one block, and only where `snip_edges`.
        """
        assert self.snip_edges
        grid = self.framing
        frames = self._scaled(waveforms).unfold(1, grid.window_length, grid.hop_length)
        log_mel, _ = self._log_mel(frames.flatten(0, 1))
        return log_mel.view(*frames.shape[:2], -1)

    def _features(self, rows: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"fbank": rows}

    def _values(self, log_mel: torch.Tensor, log_energy: torch.Tensor | None) -> torch.Tensor:
        return log_mel if log_energy is None else torch.cat((log_energy, log_mel), dim=1)


@dataclass(frozen=True, kw_only=True)
class Mfcc(KaldiExtractor):
    """Mel-frequency cepstra, `mfcc`: (T, num_ceps x (1 + deltas)).

    Args:
        num_ceps: cepstra, C0 included; with `use_energy` the log energy takes the place of C0.
        cepstral_lifter: liftering constant; 0 for none.
        deltas: how often the slope is appended: 1 adds deltas, 2 also the deltas of the deltas.
    """

    version: ClassVar[int] = 1

    num_ceps: int = 13
    cepstral_lifter: float = 22.0
    deltas: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("num_ceps", 1 <= self.num_ceps <= self.num_mel_bins, "from 1 to num_mel_bins")
        self._require("cepstral_lifter", self.cepstral_lifter >= 0, "0 or more")
        self._require("deltas", self.deltas in (0, 1, 2), "0, 1 or 2")

    @property
    def outputs(self) -> Mapping[str, Output]:
        """`mfcc`, (D,)."""
        return {"mfcc": Output((self.num_ceps * (1 + self.deltas),))}

    @property
    def _context_frames(self) -> int:
        return BLOCK_FRAMES if self.deltas else 0  # each order reaches two frames further

    def _features(self, rows: torch.Tensor) -> Mapping[str, torch.Tensor]:
        orders = [rows]
        for _ in range(self.deltas):
            orders.append(compute_deltas(orders[-1]))
        return {"mfcc": torch.cat(orders, dim=1)}

    def _values(self, log_mel: torch.Tensor, log_energy: torch.Tensor | None) -> torch.Tensor:
        cepstra = log_mel @ self._cepstral
        return cepstra if log_energy is None else torch.cat((log_energy, cepstra[:, 1:]), dim=1)

    @cached_property
    def _cepstral(self) -> torch.Tensor:
        return cepstral_matrix(self.num_mel_bins, self.num_ceps, self.cepstral_lifter)
