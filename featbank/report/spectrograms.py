"""Spectrograms of clips: the energy of short windows by frequency, as a picture shows it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from featbank.report.pooling import pooled

_WINDOW_S, _HOP_S = 0.025, 0.01
_MAX_COLUMNS = 300
_BANDS = 96
_RANGE_DB = 70


def spectrogram(waveform: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float64]:
    """Return the energy of a waveform in dB below its loudest cell, in whole dB.

    Args:
        waveform: (n,) samples.
        sample_rate: of them, in Hz.

    Returns:
        (bands, columns), the lowest frequency first, from -70 to 0: bands of equal width up to half
        the sample rate, and columns of equal width from the first sample to the last.
    """
    size, hop = round(_WINDOW_S * sample_rate), round(_HOP_S * sample_rate)
    padded = np.pad(waveform.astype(np.float64), size // 2)
    starts = np.arange(0, max(1, len(waveform)), max(1, hop))
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(padded, (0, size)), size
    )[starts]  # fmt: skip
    power = np.abs(np.fft.rfft(windows * np.hanning(size), axis=1)) ** 2
    columns, _ = pooled(power, _MAX_COLUMNS)
    bands, _ = pooled(columns.T, _BANDS)
    level = 10 * np.log10(np.maximum(bands, 1e-12))
    # whole dB: last bits of a transform differ between machines, and a picture's bytes should not
    below: npt.NDArray[np.float64] = np.round(np.clip(level - level.max(), -_RANGE_DB, 0))
    return below
