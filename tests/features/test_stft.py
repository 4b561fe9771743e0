"""What all features of a short-time Fourier transform share, and two of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from torch.nn.functional import one_hot

from featbank.base.framing import Framing
from featbank.errors import AudioError, ConfigError
from featbank.features.signal import framewise
from featbank.features.signal.dsp import mirror_edges
from featbank.features.signal.log_mel import VocoderMel, WhisperLogMel
from featbank.features.signal.stft import Energy, Spectrogram
from featbank.features.signal.stft_front_end import StftExtractor
from tests.features.checks import (
    assert_batch_mates_change_no_bit,
    boundary_lengths,
    compute,
    compute_pieces,
    joined,
)
from tests.features.golden_values import Golden

EXTRACTORS: list[StftExtractor] = [
    Spectrogram(sample_rate=16000),
    Spectrogram(sample_rate=16000, n_fft=511, hop_length=200, power=2.0, padding="same"),
    Energy(sample_rate=16000, n_fft=512, hop_length=160, win_length=400),
    WhisperLogMel(),
    VocoderMel(sample_rate=16000, num_mel_bins=60),
]


def only(features: dict[str, np.ndarray]) -> np.ndarray:
    [values] = [features[name] for name in features if name != "id"]
    return values


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize(("n_fft", "hop_length", "win_length"), [(1024, 256, 1024), (512, 80, 400)])
def test_spectrogram_is_torchaudios(
    power: float, n_fft: int, hop_length: int, win_length: int, speech: dict[str, torch.Tensor]
) -> None:
    options = {"n_fft": n_fft, "hop_length": hop_length, "win_length": win_length, "power": power}
    theirs = torchaudio.transforms.Spectrogram(**options)
    extractor = Spectrogram(sample_rate=16000, **options)
    for waveform in speech.values():
        expected = theirs(waveform).T.numpy()
        found = compute(extractor, waveform)["spectrogram"]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-6 * expected.max(), rtol=1e-5)


def test_energy_is_the_norm_of_the_magnitudes_of_torchs_stft(
    speech: dict[str, torch.Tensor],
) -> None:
    for waveform in speech.values():
        spectrum = torch.stft(
            waveform.double(),
            1024,
            hop_length=256,
            window=torch.hann_window(1024, dtype=torch.float64),
            return_complex=True,
        ).numpy()
        found = compute(Energy(sample_rate=16000), waveform)["energy"]
        np.testing.assert_allclose(found[:, 0], np.linalg.norm(spectrum, axis=0), rtol=1e-5)


@pytest.mark.parametrize(("padding", "extra"), [("center", 1), ("same", 0)])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(1024, 256), (400, 160), (512, 512), (64, 2)])
def test_frame_counts_follow_the_formula_around_every_boundary(
    padding: str, extra: int, n_fft: int, hop_length: int, speech: dict[str, torch.Tensor]
) -> None:
    extractor = Energy(sample_rate=16000, n_fft=n_fft, hop_length=hop_length, padding=padding)
    waveform = next(iter(speech.values()))
    shortest = extractor.framing.min_samples
    assert shortest == (1 if extra else hop_length)
    for num_samples in boundary_lengths(shortest, hop_length):
        found = compute(extractor, waveform[:num_samples])["energy"]
        assert len(found) == num_samples // hop_length + extra
    with pytest.raises(AudioError, match=f"too short for one frame: expected {shortest} samples"):
        compute(extractor, waveform[: shortest - 1])


def test_whispers_frame_counts_are_those_of_whole_hops(speech: dict[str, torch.Tensor]) -> None:
    waveform = next(iter(speech.values()))
    for num_samples in boundary_lengths(160, 160):
        found = compute(WhisperLogMel(), waveform[:num_samples])["log_mel"]
        assert len(found) == num_samples // 160


@pytest.mark.parametrize(
    ("extractor", "first_center_s"),
    [
        (Energy(sample_rate=16000), 0.0),
        (Energy(sample_rate=16000, padding="same"), 0.008),
        (Energy(sample_rate=16000, win_length=400, padding="same"), 0.008),
        (WhisperLogMel(), 0.0),
    ],
    ids=repr,
)
def test_frames_are_loudest_for_a_click_at_the_centre_their_framing_says(
    extractor: StftExtractor, first_center_s: float
) -> None:
    framing = extractor.framing
    assert framing.first_frame_center_s == first_center_s
    frame = 8  # clear of the edges and their mirror images
    center = round(first_center_s * 16000) + frame * framing.hop_length
    clicks = range(center - 8, center + 9)
    loudness = [
        only(compute(extractor, one_hot(torch.tensor(click), 5000).float() / 1000))[frame].sum()
        for click in clicks
    ]
    assert clicks[int(np.argmax(loudness))] == center


@pytest.mark.parametrize(("window_length", "left", "right"), [(25, 12, 12), (10, 5, 1), (6, 2, 2)])
def test_edges_are_mirrored_as_numpy_does(window_length: int, left: int, right: int) -> None:
    framing = Framing(
        sample_rate=8, window_length=window_length, hop_length=4, left=left, right=right
    )
    for num_samples in range(framing.min_samples, 41):
        samples = torch.arange(float(num_samples))
        mirrored = mirror_edges(samples, framing, repeats_edge=False).numpy()
        padded = np.pad(samples.numpy(), (left, right), mode="reflect")
        num_seen = (framing.num_frames(num_samples) - 1) * 4 + window_length
        assert np.array_equal(mirrored, padded[:num_seen])


@pytest.mark.parametrize("extractor", EXTRACTORS, ids=repr)
def test_pieces_equal_the_whole_bit_for_bit_around_every_boundary(
    extractor: StftExtractor, speech: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framewise, "_WINDOW_FRAMES", 512)
    recording = torch.cat(list(speech.values()))
    hop_length = extractor.framing.hop_length
    for num_frames in (512, 513, 514, 768, 769, 1025):
        for extra in (-1, 0, 1, hop_length // 2):
            waveform = recording[: num_frames * hop_length + extra]
            pieces = compute_pieces(extractor, waveform)
            assert np.array_equal(
                np.concatenate([only(piece) for piece in pieces]),
                only(compute(extractor, waveform)),
            )


def test_some_minutes_more_than_the_limit_are_pieces_that_equal_the_whole() -> None:
    extractor = Energy(sample_rate=16000, padding="same")
    noise = torch.randn(2 * extractor.max_samples + 640, generator=torch.Generator().manual_seed(0))
    pieces = compute_pieces(extractor, noise)
    assert len(pieces) == 3
    assert np.array_equal(joined(pieces, "energy"), compute(extractor, noise)["energy"])


@pytest.mark.parametrize("extractor", EXTRACTORS, ids=repr)
def test_rows_do_not_depend_on_batch_mates(
    extractor: StftExtractor, speech: dict[str, torch.Tensor]
) -> None:
    assert_batch_mates_change_no_bit(extractor, speech)


@pytest.mark.parametrize("extractor", EXTRACTORS, ids=repr)
def test_bits_do_not_depend_on_how_the_caller_aligned_the_waveform_which_stays_as_it_was(
    extractor: StftExtractor, speech: dict[str, torch.Tensor]
) -> None:
    waveform = next(iter(speech.values()))
    buffer = torch.empty(len(waveform) + 1)
    buffer[1:] = waveform
    plain = only(compute(extractor, waveform))
    assert np.array_equal(only(compute(extractor, buffer[1:])), plain)
    assert torch.equal(buffer[1:], waveform)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "Spectrogram sample_rate: expected over 0 Hz, got 0"),
        ({"n_fft": 1}, "n_fft: expected at least 2 samples, got 1"),
        ({"hop_length": 0}, "hop_length: expected from 1 to n_fft, got 0"),
        ({"hop_length": 2000}, "hop_length: expected from 1 to n_fft, got 2000"),
        ({"win_length": 2000}, "win_length: expected from 1 to n_fft, got 2000"),
        ({"padding": "valid"}, "padding: expected center or same, got valid"),
        ({"power": 0.5}, "power: expected 1.0 or 2.0, got 0.5"),
    ],
)
def test_spectrogram_refuses_an_option_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Spectrogram(**{"sample_rate": 16000, **options})


GOLDEN = {
    "energy": Golden(
        make=lambda: Energy(sample_rate=16000),
        version=1,
        values={
            "energy": [
                [1.3477],
                [33.49691],
                [44.97194],
                [31.26853],
                [42.35358],
                [17.40796],
                [20.2779],
                [20.43167],
            ]
        },
    )
}
