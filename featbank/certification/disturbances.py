"""What a listener does not hear and tokens should not show: noise of one step, a shift, a gain.

An utterance is disturbed at the rate of its file. The disturbed waveform is written as 32-bit float
WAV, which keeps every value, and computed like any other file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.files.provenance import digest

SHIFT_S = 0.01
GAIN_DB = -6.0
_STEP = 2.0**-15

Waveform = npt.NDArray[np.float32]
Change = Callable[[Waveform, np.random.Generator], Waveform]
"""Of a waveform (N,), and a generator seeded for it."""


def _unchanged(waveform: Waveform, _rng: np.random.Generator) -> Waveform:
    return waveform


def _noise(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    steps = rng.integers(-1, 2, len(waveform)).astype(np.float32)
    return waveform + steps * np.float32(_STEP)


def _gain(waveform: Waveform, _rng: np.random.Generator) -> Waveform:
    return waveform * np.float32(10 ** (GAIN_DB / 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """A change of a waveform.

    Args:
        told: what it does, in words.
        change: of the values.
        shift_s: how much it cuts off the beginning, in seconds, rounded to samples.
    """

    told: str
    change: Change = _unchanged
    shift_s: float = 0.0

    def shift(self, sample_rate: int) -> int:
        """Return how many samples it cuts off the beginning."""
        return round(self.shift_s * sample_rate)


DISTURBANCES: Mapping[str, Disturbance] = {
    "noise": Disturbance(
        told="-1, 0 or 1 step of 16-bit audio added to each sample, evenly drawn", change=_noise
    ),
    "shift": Disturbance(told=f"the first {1000 * SHIFT_S:g} ms cut off", shift_s=SHIFT_S),
    "gain": Disturbance(told=f"{GAIN_DB:g} dB of gain", change=_gain),
}


def disturb(name: str, waveform: Waveform, sample_rate: int, *, seed: list[Any]) -> Waveform:
    """Disturb a waveform.

    Args:
        name: one of `DISTURBANCES`.
        waveform: (N,) float32.
        sample_rate: of it, in Hz.
        seed: of what is random: the same values, the same noise.
    """
    disturbance = DISTURBANCES[name]
    rng = np.random.default_rng(int(digest([name, *seed]), 16))
    return disturbance.change(waveform, rng)[disturbance.shift(sample_rate) :]
