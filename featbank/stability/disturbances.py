"""Disturbances of audio that should not change its tokens: noise of one step, a shift, a gain.

An utterance is disturbed at the rate of its file. The disturbed waveform is written as 32-bit
floats, which keeps every value, and computed like any other file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from featbank.base.components import Component
from featbank.files.provenance import digest
from featbank.stability import DISTURBANCES

SHIFT_S = 0.01
GAIN_DB = -6.0
_STEP = 2.0**-15

Waveform = npt.NDArray[np.float32]


class Disturbance(Component):
    """A change of a waveform; this one changes nothing.

    Attributes:
        told: what it does, in words.
        shift_s: how much it cuts off the beginning, in seconds, rounded to samples.
    """

    registry = DISTURBANCES
    told: ClassVar[str]
    shift_s: ClassVar[float] = 0.0

    def change(self, waveform: Waveform, rng: np.random.Generator) -> Waveform:  # noqa: ARG002
        """Change the values of a waveform (N,), by a generator that is seeded for it."""
        return waveform

    def shift(self, sample_rate: int) -> int:
        """Return how many samples it cuts off the beginning."""
        return round(self.shift_s * sample_rate)


class Noise(Disturbance):
    """The least noise that 16-bit audio can have."""

    version = 1
    told = "-1, 0 or 1 step of 16-bit audio added to each sample, evenly drawn"

    def change(self, waveform: Waveform, rng: np.random.Generator) -> Waveform:
        """Add a step, none, or take one away."""
        steps = rng.integers(-1, 2, len(waveform)).astype(np.float32)
        return waveform + steps * np.float32(_STEP)


class Shift(Disturbance):
    """Another beginning, by less than a frame or by one."""

    version = 1
    told = f"the first {1000 * SHIFT_S:g} ms cut off"
    shift_s = SHIFT_S


class Gain(Disturbance):
    """Another level."""

    version = 1
    told = f"{GAIN_DB:g} dB of gain"

    def change(self, waveform: Waveform, rng: np.random.Generator) -> Waveform:  # noqa: ARG002
        """Multiply."""
        return waveform * np.float32(10 ** (GAIN_DB / 20))


@cache
def disturbances() -> Mapping[str, Disturbance]:
    """Return every disturbance of featbank, by its name.

    Nobody chooses among them, so none of another package is one: what is measured would hang on
    what is installed.
    """
    return {name: DISTURBANCES.find(name).load()() for name in DISTURBANCES.table}


def disturb(name: str, waveform: Waveform, sample_rate: int, *, seed: Sequence[object]) -> Waveform:
    """Disturb a waveform.

    Args:
        name: of the disturbance.
        waveform: (N,) float32.
        sample_rate: of it, in Hz.
        seed: of what is random: the same values, the same noise.
    """
    disturbance = disturbances()[name]
    rng = np.random.default_rng(int(digest([name, *seed]), 16))
    return disturbance.change(waveform, rng)[disturbance.shift(sample_rate) :]
