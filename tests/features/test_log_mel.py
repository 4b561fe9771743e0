"""Log-mel spectrograms against transformers' and what vocoders compute: torch's and librosa's."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from featbank.errors import ConfigError
from featbank.features.signal import framewise
from featbank.features.signal.dsp import slaney_mel_matrix
from featbank.features.signal.log_mel import VocoderMel, WhisperLogMel
from tests.features.checks import compute, compute_pieces, joined


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "num_mel_bins", "high_freq"),
    [(16000, 400, 80, 8000), (16000, 400, 128, 8000), (24000, 1024, 100, 12000)],
)
def test_mel_filters_are_librosas_and_whispers(
    sample_rate: int, n_fft: int, num_mel_bins: int, high_freq: float
) -> None:
    ours = slaney_mel_matrix(num_mel_bins, n_fft, sample_rate, 0.0, high_freq).T.numpy()
    theirs = librosa.filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=num_mel_bins, fmin=0.0, fmax=high_freq
    )
    # beside a filter's foot numpy 1 gives librosa 1e-17, numpy 2 nothing
    assert np.array_equal(ours > 1e-9, theirs > 1e-9)
    np.testing.assert_allclose(ours, theirs, atol=3e-7, rtol=0)


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_whispers_log_mel_is_that_of_transformers(
    num_mel_bins: int, speech: dict[str, torch.Tensor]
) -> None:
    theirs = WhisperFeatureExtractor(feature_size=num_mel_bins)
    extractor = WhisperLogMel(num_mel_bins=num_mel_bins)
    for waveform in speech.values():
        expected = theirs(
            waveform.numpy(), sampling_rate=16000, padding="do_not_pad", return_tensors="np"
        )["input_features"][0]
        found = compute(extractor, waveform)["log_mel"]
        assert found.shape == expected.T.shape == (len(waveform) // 160, num_mel_bins)
        np.testing.assert_allclose(found, expected.T, atol=5e-5, rtol=0)
        assert np.abs(found - expected.T).mean() < 1e-6


@pytest.mark.parametrize("num_samples", [160, 199, 200, 201, 319, 320, 321, 480])
def test_whispers_log_mel_is_that_of_transformers_of_waveforms_shorter_than_a_frame_too(
    num_samples: int, speech: dict[str, torch.Tensor]
) -> None:
    waveform = next(iter(speech.values()))[8000 : 8000 + num_samples]
    theirs = WhisperFeatureExtractor()
    # torch.stft, which it calls otherwise, does not mirror a waveform twice
    [expected] = theirs._np_extract_fbank_features(waveform.numpy()[None], "cpu")
    found = compute(WhisperLogMel(), waveform)["log_mel"]
    np.testing.assert_allclose(found, expected.T, atol=2e-5, rtol=0)


@pytest.mark.parametrize("peak_at", [0.02, 0.5, 0.98])
def test_the_floor_of_a_long_recording_follows_from_its_loudest_window(
    peak_at: float, speech: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framewise, "_WINDOW_FRAMES", 256)
    recording = torch.cat(list(speech.values()))[: 1000 * 160 + 77] / 1000
    loud = int(peak_at * len(recording))
    recording[loud : loud + 800] *= 1000
    extractor = WhisperLogMel()
    whole = compute(extractor, recording)["log_mel"]
    pieces = compute_pieces(extractor, recording)
    assert len(pieces) == 4
    assert np.array_equal(joined(pieces, "log_mel"), whole)
    assert all((piece["log_mel"] == whole.min()).any() for piece in pieces)  # each is floored
    assert whole.max() - whole.min() == pytest.approx(2.0, abs=1e-6)


def test_silence_is_whispers_floor_everywhere() -> None:
    assert (compute(WhisperLogMel(), torch.zeros(1600))["log_mel"] == -1.5).all()


VOCODERS: list[dict[str, Any]] = [
    {"sample_rate": 24000, "num_mel_bins": 100, "high_freq": 12000.0},  # BigVGAN
    {"sample_rate": 22050, "num_mel_bins": 80, "high_freq": 8000.0},  # HiFi-GAN
    {"sample_rate": 16000, "n_fft": 800, "hop_length": 200, "win_length": 640, "num_mel_bins": 60},
    {"sample_rate": 24000, "low_freq": 60.0, "num_mel_bins": 80, "padding": "center"},
]


@pytest.mark.parametrize("options", VOCODERS, ids=str)
def test_the_vocoders_mel_is_theirs(
    options: dict[str, Any], speech: dict[str, torch.Tensor]
) -> None:
    extractor = VocoderMel(**options)
    n_fft, hop_length = extractor.n_fft, extractor.hop_length
    win_length = extractor.win_length or n_fft
    overhang = n_fft if extractor.padding == "center" else n_fft - hop_length
    filters = librosa.filters.mel(
        sr=extractor.sample_rate,
        n_fft=n_fft,
        n_mels=extractor.num_mel_bins,
        fmin=extractor.low_freq,
        fmax=extractor.high_freq,
    )
    for waveform in speech.values():
        padded = np.pad(waveform.double().numpy(), overhang // 2, mode="reflect")
        spectrum = torch.stft(
            torch.from_numpy(padded),
            n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=torch.hann_window(win_length, dtype=torch.float64),
            center=False,
            return_complex=True,
        ).numpy()
        magnitudes = np.sqrt(np.abs(spectrum) ** 2 + 1e-9)
        mel = np.maximum(filters @ magnitudes, 1e-5).T
        found = compute(extractor, waveform)["mel"]
        assert found.shape == mel.shape
        # in double precision: bins far below their frame's peak hold float32 rounding
        errors = np.abs(np.exp(found.astype(np.float64)) - mel)
        assert (errors < 1e-6 * mel.sum(axis=1, keepdims=True)).all()
        assert np.abs(found - np.log(mel)).mean() < 1e-5


def test_the_vocoders_mel_of_silence_is_finite() -> None:
    found = compute(VocoderMel(sample_rate=24000), torch.zeros(2560))["mel"]
    assert np.isfinite(found).all()
    assert (found >= np.float32(np.log(1e-5))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 11025}, "VocoderMel sample_rate: expected an even number of Hz, got 110"),
        ({"n_fft": 1023}, "n_fft: expected an even number of samples, got 1023"),
        ({"num_mel_bins": 0}, "num_mel_bins: expected at least 1, got 0"),
        ({"low_freq": 8000.0, "high_freq": 4000.0}, "low_freq: expected from 0 to under 4000 Hz"),
        ({"high_freq": 12500.0}, "high_freq: expected at most 12000 Hz, got 12500"),
        ({"num_mel_bins": 400}, "num_mel_bins 400: .*1024-point FFT, got none in filters.*lower"),
    ],
)
def test_vocoder_mel_refuses_an_option_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VocoderMel(**{"sample_rate": 24000, **options})


def test_whisper_log_mel_refuses_more_filters_than_its_frames_resolve() -> None:
    with pytest.raises(ConfigError, match=r"WhisperLogMel num_mel_bins 256: .*400-point FFT"):
        WhisperLogMel(num_mel_bins=256)
