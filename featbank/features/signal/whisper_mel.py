"""Whisper's log-mel spectrogram, as `WhisperFeatureExtractor` of transformers computes it in torch.

Radford et al. 2022, arXiv:2212.04356, section 2.2; the reference is `log_mel_spectrogram` of
openai/whisper. The values are log10 of the mel power, raised to eight decades below the greatest of
the whole waveform, then brought near [-1, 1].
"""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from featbank.base.framing import Framing
from featbank.features.base import LongWaveform
from featbank.features.signal.dsp import slaney_mel_matrix
from featbank.features.windows import plan_windows, read_windows

SAMPLE_RATE = 16000
HOP_LENGTH = 160
_FFT_LENGTH = 400
_LEAST_POWER = 1e-10
_DECADES = 8.0
_BLOCK_FRAMES = 3000  # computed at once

MEL_FRAMING = Framing(
    sample_rate=SAMPLE_RATE,
    window_length=_FFT_LENGTH,
    hop_length=HOP_LENGTH,
    left=_FFT_LENGTH // 2,
    right=_FFT_LENGTH - 1,
)
"""Frames centred on each hop, with all that see a sample."""


def mel_filters(num_mel_bins: int) -> torch.Tensor:
    """Return Whisper's mel filters, (num_mel_bins, 201) float32."""
    return slaney_mel_matrix(
        num_mel_bins, _FFT_LENGTH, SAMPLE_RATE, 0.0, SAMPLE_RATE / 2
    ).T.contiguous()


def log_mel(waveforms: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Return the log-mel spectrogram of whole waveforms, mirrored at both ends.

    Args:
        waveforms: (B, S), at 16 kHz.
        filters: of `mel_filters`, on the same device.

    Returns:
        (B, num_mel_bins, S // 160): frame `t` is centred on sample 160 t.
    """
    edge = _FFT_LENGTH // 2
    values = log10_mel(pad(waveforms, (edge, edge), mode="reflect"), filters)[..., :-1]
    return scaled(values, values.amax(dim=(1, 2), keepdim=True))


def log10_mel(samples: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Return log10 of the mel power of the windows that lie inside (B, S): (B, num_mel_bins, T)."""
    spectrum = torch.stft(
        samples,
        _FFT_LENGTH,
        HOP_LENGTH,
        window=torch.hann_window(_FFT_LENGTH, device=samples.device),
        center=False,
        return_complex=True,
    )
    return (filters @ spectrum.abs().square()).clamp_(min=_LEAST_POWER).log10_()


def scaled(values: torch.Tensor, greatest: torch.Tensor) -> torch.Tensor:
    """Clip what `log10_mel` gave at eight decades below the greatest, and shift and scale it."""
    return (torch.maximum(values, greatest - _DECADES) + 4) / 4


def log10_mel_within(
    samples: torch.Tensor, frames: range, num_samples: int, filters: torch.Tensor
) -> torch.Tensor:
    """Return log10 of the mel power of some frames of a long waveform, silent behind its end.

    Args:
        samples: those that the frames see, inside the waveform.
        frames: of `MEL_FRAMING`, or behind its last.
        num_samples: of the waveform.
        filters: of `mel_filters`, on the same device.

    Returns:
        (num_mel_bins, len(frames)).
    """
    span = MEL_FRAMING.span(frames)
    seen = pad(samples.unsqueeze(0), (0, max(0, span.stop - num_samples)))
    return log10_mel(pad(seen, (max(0, -span.start), 0), mode="reflect"), filters)[0]


def greatest_log10_mel(recording: LongWaveform, filters: torch.Tensor) -> torch.Tensor:
    """Return the greatest value that `log10_mel` has of a recording, in a pass over it.

    It is computed where the filters are.
    """
    windows = plan_windows(recording.num_samples, MEL_FRAMING, max_frames=_BLOCK_FRAMES)
    greatest = [
        log10_mel_within(
            torch.from_numpy(samples).to(filters.device),
            window.frames,
            recording.num_samples,
            filters,
        ).amax()
        for window, samples in read_windows(recording, windows)
    ]
    return torch.stack(greatest).amax()
