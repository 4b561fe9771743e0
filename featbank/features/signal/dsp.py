"""Signal processing behind the signal features, as pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torchaudio.compliance.kaldi import get_mel_banks
from torchaudio.functional import create_dct

from featbank.base.framing import Framing
from featbank.errors import ConfigError


def _hann(length: int) -> torch.Tensor:
    return torch.hann_window(length, periodic=False)


def _blackman(length: int) -> torch.Tensor:
    # Kaldi's coefficient is 0.42; torch.blackman_window uses others
    phase = 2 * math.pi / (length - 1) * torch.arange(length, dtype=torch.float32)
    return 0.42 - 0.5 * torch.cos(phase) + 0.08 * torch.cos(2 * phase)


WINDOWS: Mapping[str, Callable[[int], torch.Tensor]] = {
    "povey": lambda length: _hann(length).pow(0.85),
    "hanning": _hann,
    "hamming": lambda length: torch.hamming_window(length, periodic=False, alpha=0.54, beta=0.46),
    "blackman": _blackman,
    "rectangular": torch.ones,
}


def mirror_edges(samples: torch.Tensor, framing: Framing, *, repeats_edge: bool) -> torch.Tensor:
    """Mirror a waveform (num_samples,) at both ends as far as the frames of `framing` reach.

    A waveform shorter than the reach is mirrored again.

    Args:
        samples: the waveform.
        framing: the frame grid.
        repeats_edge: True has the edge sample in the image too, as Kaldi's ExtractWindow does;
            False is "reflect" of numpy.pad and torch.

    >>> framing = Framing(sample_rate=8, window_length=6, hop_length=2, snip_edges=False)
    >>> mirror_edges(torch.tensor([1., 2., 3., 4.]), framing, repeats_edge=True).tolist()
    [2.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 3.0]
    >>> mirror_edges(torch.tensor([1., 2., 3., 4.]), framing, repeats_edge=False).tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 2.0]
    """
    (num_samples,) = samples.shape
    wanted = framing.span(range(framing.num_frames(num_samples)))
    return read_mirrored(
        samples, range(num_samples), wanted, num_samples, repeats_edge=repeats_edge
    )


def read_mirrored(
    samples: torch.Tensor, held: range, wanted: range, num_samples: int, *, repeats_edge: bool
) -> torch.Tensor:
    """Return positions `wanted` of a waveform, which is mirrored before its start and at its end.

    Args:
        samples: (len(held),), the part of the waveform that is at hand.
        held: its positions in the waveform.
        wanted: positions, whose mirror images too are at hand.
        num_samples: of the waveform.
        repeats_edge: see `mirror_edges`.
    """
    period = 2 * num_samples if repeats_edge else max(1, 2 * num_samples - 2)

    def mirrored(first: int, stop: int) -> torch.Tensor:
        positions = torch.arange(first, max(first, stop)) % period
        return samples[torch.minimum(positions, period - repeats_edge - positions) - held.start]

    inside = samples[max(wanted.start, 0) - held.start : max(wanted.stop, 0) - held.start]
    if wanted.start >= 0 and wanted.stop <= num_samples:
        return inside
    return torch.cat(
        (
            mirrored(wanted.start, min(0, wanted.stop)),
            inside,
            mirrored(max(num_samples, wanted.start), wanted.stop),
        )
    )


def compute_deltas(values: torch.Tensor) -> torch.Tensor:
    """Return the slope of each column of `values` (T, D) over five frames, the edge rows repeated.

    d[t] = (c[t + 1] - c[t - 1] + 2 (c[t + 2] - c[t - 2])) / 10, as in Kaldi and
    torchaudio.functional.compute_deltas (win_length 5). For the second order, the slope of the
    slope is torchaudio's (and HuBERT's) definition; Kaldi's differs in the four edge rows.

    >>> compute_deltas(torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]])).flatten().tolist()
    [0.5, 0.800000011920929, 1.0, 0.800000011920929, 0.5]
    """
    num_frames = len(values)
    times = torch.arange(-2, num_frames + 2).clamp_(0, num_frames - 1)
    padded = values[times]
    before2, before1, _, after1, after2 = (padded[n : n + num_frames] for n in range(5))
    return (after1 - before1 + 2 * (after2 - before2)) / 10


def mel_matrix(
    num_mel_bins: int, fft_length: int, sample_rate: int, low_freq: float, high_freq: float
) -> torch.Tensor:
    """Return Kaldi's triangular filters, (fft_length / 2 + 1, num_mel_bins), Nyquist's row 0."""
    filters: torch.Tensor
    filters, _ = get_mel_banks(
        num_mel_bins,
        fft_length,
        float(sample_rate),
        low_freq,
        high_freq,
        # vocal tract length warping, which a factor of 1 leaves out
        vtln_low=100.0,
        vtln_high=-500.0,
        vtln_warp_factor=1.0,
    )
    return torch.nn.functional.pad(filters, (0, 1)).T.contiguous()


def slaney_mel_matrix(
    num_mel_bins: int, n_fft: int, sample_rate: int, low_freq: float, high_freq: float
) -> torch.Tensor:
    """Return triangular filters of unit area on Slaney's mel scale, (n_fft // 2 + 1, num_mel_bins).

    The scale is linear up to 1 kHz, which is 15 mels, and logarithmic above, where 27 mels are a
    factor of 6.4. Computed in float64, so that they are those of librosa.filters.mel and of
    transformers' mel_filter_bank: torchaudio's melscale_fbanks computes in float32.
    """
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    low, high = (_hz_to_slaney_mel(frequency) for frequency in (low_freq, high_freq))
    mels = torch.linspace(low, high, num_mel_bins + 2, dtype=torch.float64)
    edges = torch.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    widths = edges.diff()
    rising = (bins[:, None] - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - bins[:, None]) / widths[1:]
    return (torch.minimum(rising, falling).clamp(min=0) * 2 / (edges[2:] - edges[:-2])).float()


def _hz_to_slaney_mel(frequency: float) -> float:
    if frequency < 1000:
        return frequency * 3 / 200
    return 15 + 27 * math.log(frequency / 1000, 6.4)


def require_filled(what: str, filters: torch.Tensor, *, hint: str) -> None:
    """Refuse mel filters (fft_length / 2 + 1, num_mel_bins) of which one holds no bin.

    Raises:
        ConfigError: one is narrower than the FFT can resolve.
    """
    empty = (filters.sum(dim=0) == 0).nonzero().flatten().tolist()
    if empty:
        raise ConfigError(
            what,
            expected=f"filters that each hold a bin of the {2 * len(filters) - 2}-point FFT",
            got=f"none in filters {', '.join(map(str, empty))} (from 0)",
            hint=hint,
        )


def cepstral_matrix(num_mel_bins: int, num_ceps: int, lifter: float) -> torch.Tensor:
    """Return the cosine transform, then the lifter, as one matrix (num_mel_bins, num_ceps).

    The lifter multiplies cepstrum n by 1 + L / 2 sin(pi n / L); L = 0 stands for none.
    """
    transform: torch.Tensor = create_dct(num_mel_bins, num_mel_bins, "ortho")[:, :num_ceps]
    if lifter == 0:
        return transform.contiguous()
    return transform * (1 + lifter / 2 * torch.sin(math.pi * torch.arange(num_ceps) / lifter))
