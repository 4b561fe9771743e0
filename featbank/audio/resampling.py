"""Resampling of waveforms."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from featbank.base.manifest import Utterance
from featbank.errors import FeatbankError


def resample(
    waveform: NDArray[np.float32], sample_rate: int, target_rate: int
) -> NDArray[np.float32]:
    """Resample (N,) samples with soxr's high quality to exactly `resampled_length` samples.

    Raises:
        FeatbankError: soxr gave another length: its rule has changed.
    """
    if sample_rate == target_rate:
        return waveform
    resampled: NDArray[np.float32] = soxr.resample(waveform, sample_rate, target_rate, quality="HQ")
    expected = resampled_length(len(waveform), sample_rate, target_rate)
    if len(resampled) != expected:
        raise FeatbankError(
            f"{len(waveform)} samples resampled from {sample_rate} to {target_rate} Hz",
            expected=f"{expected} samples",
            got=len(resampled),
            hint="this soxr has another rule for lengths; install the locked one",
        )
    return resampled


def resampled_length(num_samples: int, sample_rate: int, target_rate: int) -> int:
    """Return the number of samples that `resample` gives.

    libsoxr rounds half up, in double precision, after dividing by the ratio of the rates.

    >>> resampled_length(441, 44100, 16000), resampled_length(16000, 16000, 16000)
    (160, 16000)
    """
    if sample_rate == target_rate:
        return num_samples
    return int(num_samples / (sample_rate / target_rate) + 0.5)


def length_at(row: Utterance, target_rate: int) -> int:
    """Return the number of samples that an utterance is given with at a rate, at its speed."""
    return resampled_length(row.num_samples, row.played_rate, target_rate)
