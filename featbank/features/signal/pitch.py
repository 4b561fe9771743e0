"""Fundamental frequency and voicing, by librosa's pYIN.

What librosa compiles it keeps: half a minute once an installation, then some seconds a process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from featbank.base.framing import Framing
from featbank.base.notices import AT_WORK, tell
from featbank.errors import ConfigError
from featbank.features.base import LongWaveform, Output
from featbank.features.signal.stft_front_end import PADDINGS, padded_samples
from featbank.features.utterance_extractor import UtteranceExtractor
from featbank.features.windows import plan_windows, read_windows

try:
    import librosa
except ImportError as error:
    raise ConfigError.of_absent("F0 by pYIN", "librosa", "pitch", error) from error


@dataclass(frozen=True, kw_only=True)
class F0(UtteranceExtractor):
    """`f0`, (T, 1): in Hz, 0 where unvoiced; and `voicing`, (T, 1): how surely voiced, from 0 to 1.

    librosa.pyin over zeros at both ends (Mauch and Dixon, "pYIN: a fundamental frequency estimator
    using probabilistic threshold distributions", 2014). A hidden Markov model decides over the
    whole waveform which frames are voiced, and those have an `f0` over 0; `voicing` is what the
    frame says by itself, often far under 1 in a voiced one.

    Memory grows with the length, so a recording longer than `max_window_s` is computed in windows
    of about the same length. The model sees one of them at a time: only near a seam can a frame
    differ from what the whole would give, and the contexts are there to be dropped.

    Args:
        sample_rate: of the waveforms, in Hz.
        min_f0_hz: the lowest F0, of which more than two periods must fit into a frame.
        max_f0_hz: the highest F0.
        resolution: between two F0 that are told apart, in semitones. Time goes with the square of
            the number of them.
        frame_length: samples of a frame. A long one smears: of synthetic voices at 24 kHz, 1024
            got the voicing of 3 to 6 % of the frames wrong, 2048 of 12 to 22 %.
        hop_length: samples between frames.
        padding: one of `PADDINGS`, with frame_length in the place of n_fft.
        max_window_s: the longest waveform that is computed at once, in seconds.
        context_s: what a window computes beyond each of its seams, for its neighbour to keep.

    Raises:
        ConfigError: an option is out of range, or the windows are too short for their contexts.
    """

    version: ClassVar[int] = 1
    libraries = ("librosa",)

    sample_rate: int
    min_f0_hz: float = 65.0
    max_f0_hz: float = 800.0
    resolution: float = 0.1
    frame_length: int = 1024
    hop_length: int = 256
    padding: str = "center"
    max_window_s: float = 60.0
    context_s: float = 2.0

    def __post_init__(self) -> None:
        for option, right, expected in self._rules():
            if not right:
                raise ConfigError(f"F0 {option}", expected=expected, got=getattr(self, option))

    def _rules(self) -> Iterator[tuple[str, bool, str]]:
        """Give each option, whether it is right, and what is: later ones take the first as such."""
        yield "sample_rate", self.sample_rate > 0, "over 0 Hz"
        yield "frame_length", self.frame_length >= 4, "at least 4 samples"
        yield "hop_length", 1 <= self.hop_length <= self.frame_length, "from 1 to frame_length"
        yield "padding", self.padding in PADDINGS, " or ".join(PADDINGS)
        lowest, nyquist = self.sample_rate / (self.frame_length // 2), self.sample_rate / 2
        yield "min_f0_hz", self.min_f0_hz > lowest, f"over {lowest:g} Hz, two periods a frame"
        highest = f"over {self.min_f0_hz:g} and at most {nyquist:g} Hz"
        yield "max_f0_hz", self.min_f0_hz < self.max_f0_hz <= nyquist, highest
        yield "resolution", 0 < self.resolution < 1, "between 0 and 1 semitone"
        yield "context_s", self.context_s >= 0, "0 seconds or more"
        longest = self.framing.num_frames(self.max_samples)
        yield "max_window_s", longest > 2 * self._context_frames, "over 2 x context_s"

    @cached_property
    def framing(self) -> Framing:
        """The frame grid: its centres are those of STFT features with the same hop and padding."""
        left, right = padded_samples(self.padding, self.frame_length, self.hop_length)
        return Framing(
            sample_rate=self.sample_rate,
            window_length=self.frame_length,
            hop_length=self.hop_length,
            left=left,
            right=right,
        )

    @property
    def outputs(self) -> Mapping[str, Output]:
        """`f0` and `voicing`, (1,) each."""
        return {"f0": Output((1,)), "voicing": Output((1,))}

    @property
    def max_samples(self) -> int:
        """Number of samples that `max_window_s` lasts."""
        return round(self.max_window_s * self.sample_rate)

    @property
    def _context_frames(self) -> int:
        return round(self.context_s * self.framing.frame_rate)

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        (num_samples,) = waveform.shape
        frames = range(self.framing.num_frames(num_samples))
        return self._track(waveform.numpy(), range(num_samples), frames)

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        windows = plan_windows(
            recording.num_samples,
            self.framing,
            max_frames=self.framing.num_frames(self.max_samples),
            context_frames=self._context_frames,
        )
        for window, samples in read_windows(recording, windows):
            features = self._track(samples, window.samples, window.frames)
            yield {name: rows[window.kept_rows] for name, rows in features.items()}

    def _track(
        self, samples: NDArray[np.float32], held: range, frames: range
    ) -> Mapping[str, torch.Tensor]:
        """Track F0 over consecutive frames, of which `samples` are the positions `held`."""
        wanted = self.framing.span(frames)
        before, behind = max(0, held.start - wanted.start), max(0, wanted.stop - held.stop)
        _tell_of_compiling()
        f0, _, voicing = librosa.pyin(
            np.pad(samples[: wanted.stop - held.start], (before, behind)),
            fmin=self.min_f0_hz,
            fmax=self.max_f0_hz,
            sr=self.sample_rate,
            frame_length=self.frame_length,
            hop_length=self.hop_length,
            resolution=self.resolution,
            fill_na=0.0,
            center=False,
        )
        tell(phase=AT_WORK)
        return {
            name: torch.from_numpy(values.astype(np.float32)).unsqueeze(1)
            for name, values in (("f0", f0), ("voicing", voicing))
        }


@cache
def _tell_of_compiling() -> None:
    """Tell once in a process what the first call waits for."""
    tell(phase="compiling pYIN, which takes half a minute at its very first use")
