"""F0 and voicing: pYIN's own numbers, what they are of known signals, and windows."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import pytest
import torch

from featbank.errors import ConfigError
from featbank.features.signal.pitch import F0
from tests.features.checks import (
    assert_batch_mates_change_no_bit,
    boundary_lengths,
    compute,
    compute_pieces,
    joined,
)

RATE = 16000
COARSE: dict[str, Any] = {"sample_rate": RATE, "resolution": 0.4}


def voice(f0: np.ndarray) -> torch.Tensor:
    """Ten harmonics of an F0 given for every sample, the higher the weaker."""
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    harmonics = [np.sin(k * phase) / k for k in range(1, 11)]
    return torch.from_numpy((0.3 * np.sum(harmonics, axis=0)).astype(np.float32))


def test_f0_is_that_of_librosa(speech: dict[str, torch.Tensor]) -> None:
    waveform = next(iter(speech.values()))[: 2 * RATE]
    f0, voiced, voicing = librosa.pyin(
        waveform.numpy(),
        fmin=80.0,
        fmax=400.0,
        sr=RATE,
        frame_length=1024,
        hop_length=256,
        resolution=0.4,
    )
    found = compute(F0(**COARSE, min_f0_hz=80.0, max_f0_hz=400.0), waveform)
    assert np.array_equal(found["f0"][:, 0], np.where(voiced, f0, 0.0).astype(np.float32))
    assert np.array_equal(found["voicing"][:, 0], voicing.astype(np.float32))


@pytest.mark.parametrize(("padding", "offset"), [("center", 0), ("same", 128)])
def test_f0_follows_a_sweep_at_the_centre_of_each_frame(padding: str, offset: int) -> None:
    sweep = 100.0 * 4.0 ** (np.arange(2 * RATE) / (2 * RATE))  # two octaves in two seconds
    extractor = F0(sample_rate=RATE, resolution=0.2, padding=padding)
    found = compute(extractor, voice(sweep))
    frames = np.arange(4, len(found["f0"]) - 4)  # clear of the silence around
    truth = sweep[frames * 256 + offset]
    semitones = 12 * np.log2(found["f0"][frames, 0] / truth)
    assert np.abs(semitones).max() < 0.3
    assert abs(semitones.mean()) < 0.05  # a frame is 0.19 semitones from the next
    assert (found["voicing"][frames] > 0.4).all()


def test_noise_and_silence_are_unvoiced() -> None:
    noise = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    for waveform in (noise, torch.zeros(RATE)):
        found = compute(F0(**COARSE), waveform)
        assert (found["f0"] == 0).all()
        assert (found["voicing"] < 0.2).all()


def test_real_speech_is_partly_voiced_within_the_range_of_a_voice(
    speech: dict[str, torch.Tensor],
) -> None:
    for waveform in list(speech.values())[:3]:
        f0 = compute(F0(**COARSE), waveform)["f0"]
        voiced = f0[f0 > 0]
        assert 0.2 < len(voiced) / len(f0) < 0.95
        assert 80 < np.median(voiced) < 300


@pytest.mark.parametrize(("padding", "extra"), [("center", 1), ("same", 0)])
def test_frame_counts_follow_the_formula_around_every_boundary(
    padding: str, extra: int, speech: dict[str, torch.Tensor]
) -> None:
    extractor = F0(**COARSE, max_f0_hz=130.0, padding=padding)
    waveform = next(iter(speech.values()))
    shortest = extractor.framing.min_samples
    assert shortest == (1 if extra else 256)
    for num_samples in boundary_lengths(shortest, 256):
        found = compute(extractor, waveform[:num_samples])
        for values in (found["f0"], found["voicing"]):
            assert values.shape == (num_samples // 256 + extra, 1)


def test_rows_do_not_depend_on_batch_mates(speech: dict[str, torch.Tensor]) -> None:
    assert_batch_mates_change_no_bit(
        F0(**COARSE),
        {id: speech[id][:RATE] for id in list(speech)[:3]},  # noqa: A001
    )


@pytest.mark.parametrize("padding", ["center", "same"])
def test_windows_of_a_long_recording_meet_in_the_f0_of_the_whole(
    padding: str, speech: dict[str, torch.Tensor]
) -> None:
    recording = torch.cat(list(speech.values()))[: 8 * RATE + 77]
    options = {**COARSE, "padding": padding}
    windows = F0(**options, max_window_s=4.0, context_s=1.0)
    pieces = compute_pieces(windows, recording)
    whole = compute(F0(**options), recording)
    assert len(pieces) == 3
    assert np.array_equal(joined(pieces, "voicing"), whole["voicing"])
    assert np.array_equal(joined(pieces, "f0"), whole["f0"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "F0 sample_rate: expected over 0 Hz, got 0"),
        ({"frame_length": 0}, "frame_length: expected at least 4 samples, got 0"),
        ({"hop_length": 0}, "hop_length: expected from 1 to frame_length, got 0"),
        ({"padding": "valid"}, "padding: expected center or same, got valid"),
        ({"frame_length": 256}, "min_f0_hz: expected over 125 Hz, two periods a frame, got 65"),
        ({"max_f0_hz": 60.0}, "max_f0_hz: expected over 65 and at most 8000 Hz, got 60"),
        ({"max_f0_hz": 9000.0}, "max_f0_hz: expected over 65 and at most 8000 Hz, got 9000"),
        ({"resolution": 1.0}, "resolution: expected between 0 and 1 semitone, got 1"),
        ({"context_s": -1.0}, "context_s: expected 0 seconds or more, got -1"),
        ({"max_window_s": 3.0}, "max_window_s: expected over 2 x context_s, got 3"),
    ],
)
def test_f0_refuses_an_option_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        F0(**{"sample_rate": RATE, **options})
