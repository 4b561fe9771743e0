from __future__ import annotations

from dataclasses import fields
from inspect import signature
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from torch.nn.functional import one_hot

from featbank.base.framing import Framing
from featbank.errors import AudioError, ConfigError
from featbank.features.signal import framewise
from featbank.features.signal.dsp import compute_deltas, mirror_edges
from featbank.features.signal.kaldi import INT16_SCALE, Fbank, KaldiExtractor, Mfcc
from featbank.features.utterance_extractor import UtteranceExtractor
from tests.features.checks import (
    assert_batch_mates_change_no_bit,
    boundary_lengths,
    compute,
    compute_pieces,
    joined,
)

TORCHAUDIO_NAMES = {
    "sample_rate": "sample_frequency",
    "frame_length_ms": "frame_length",
    "frame_shift_ms": "frame_shift",
    "preemphasis": "preemphasis_coefficient",
}

SHARED_OPTIONS: list[dict[str, Any]] = [
    {},
    {"sample_rate": 8000},
    {"sample_rate": 22050},
    {"num_mel_bins": 40},
    {"frame_length_ms": 32.0, "frame_shift_ms": 12.5},
    {"frame_length_ms": 5.0, "frame_shift_ms": 10.0, "num_mel_bins": 10},
    {"window_type": "hanning"},
    {"window_type": "hamming"},
    {"window_type": "blackman"},
    {"window_type": "rectangular"},
    {"preemphasis": 0.0},
    {"preemphasis": 1.0},
    {"remove_dc_offset": False},
    {"low_freq": 60.0, "high_freq": -400.0},
    {"low_freq": 0.0, "high_freq": 3800.0},
    {"use_energy": True},
    {"use_energy": True, "energy_floor": 0.0, "waveform_scale": 1.0},
    {"snip_edges": False},
    {"snip_edges": False, "frame_length_ms": 5.0, "frame_shift_ms": 10.0, "num_mel_bins": 10},
    {"waveform_scale": 1.0},
]


def reference(function: str, waveform: torch.Tensor, **options: Any) -> np.ndarray:
    """Run torchaudio's own function, in double precision: its rounding is not the question."""
    scaled = waveform.double().unsqueeze(0) * options.pop("waveform_scale")
    named = {TORCHAUDIO_NAMES.get(name, name): value for name, value in options.items()}
    return getattr(torchaudio.compliance.kaldi, function)(scaled, dither=0.0, **named).numpy()


def label(options: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in options.items()) or "defaults"


@pytest.mark.parametrize("options", SHARED_OPTIONS, ids=label)
def test_fbank_equals_torchaudios(options: dict[str, Any], speech: dict[str, torch.Tensor]) -> None:
    options = {"num_mel_bins": 30, "waveform_scale": INT16_SCALE, **options}
    for waveform in speech.values():
        ours = compute(Fbank(**options), waveform)["fbank"]
        theirs = reference("fbank", waveform, **options)
        assert ours.shape == theirs.shape
        assert ours.dtype == np.float32
        # Bins far below their frame's peak hold only the FFT's float32 rounding, in torchaudio's
        # float32 too: so energies are compared with their frame's, and logarithms on average.
        energies = np.exp(theirs)
        errors = np.abs(np.exp(ours.astype(np.float64)) - energies)
        assert (errors < 3e-6 * energies.sum(axis=1, keepdims=True)).all()
        assert np.abs(ours - theirs).mean() < 1e-5


MFCC_OPTIONS: list[dict[str, Any]] = [
    *SHARED_OPTIONS[:-1],
    {"waveform_scale": INT16_SCALE},
    {"num_ceps": 10},
    {"num_ceps": 23},
    {"cepstral_lifter": 0.0},
    {"cepstral_lifter": 30.0},
]


@pytest.mark.parametrize("options", MFCC_OPTIONS, ids=label)
def test_mfcc_equals_torchaudios(options: dict[str, Any], speech: dict[str, torch.Tensor]) -> None:
    options = {"waveform_scale": 1.0, **options}
    if "num_mel_bins" in options:
        options["num_ceps"] = min(13, options["num_mel_bins"])
    for waveform in speech.values():
        ours = compute(Mfcc(**options), waveform)["mfcc"]
        theirs = reference("mfcc", waveform, **options)
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).mean() < 5e-5
        np.testing.assert_allclose(ours, theirs, atol=5e-2, rtol=1e-4)


def test_mfcc_with_deltas_equals_huberts_recipe(speech: dict[str, torch.Tensor]) -> None:
    extractor = Mfcc(deltas=2)
    for waveform in speech.values():
        ceps = torchaudio.compliance.kaldi.mfcc(
            waveform.unsqueeze(0), sample_frequency=16000, use_energy=False
        ).T
        deltas = torchaudio.functional.compute_deltas(ceps)
        recipe = torch.cat([ceps, deltas, torchaudio.functional.compute_deltas(deltas)]).T
        ours = compute(extractor, waveform)["mfcc"]
        assert ours.shape[1] == 39
        np.testing.assert_allclose(ours, recipe.numpy(), atol=5e-2)
        assert np.abs(ours - recipe.numpy()).mean() < 5e-5


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 5, 6, 50])
def test_deltas_equal_torchaudios_at_every_length(num_frames: int) -> None:
    values = torch.randn(num_frames, 7, generator=torch.Generator().manual_seed(0))
    theirs = torchaudio.functional.compute_deltas(values.T).T
    torch.testing.assert_close(compute_deltas(values), theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_each_delta_order_appends_columns_to_the_last(
    order: int, speech: dict[str, torch.Tensor]
) -> None:
    waveform = next(iter(speech.values()))
    values = compute(Mfcc(deltas=order), waveform)["mfcc"]
    assert values.shape[1] == 13 * (1 + order) == Mfcc(deltas=order).outputs["mfcc"].num_values
    all_orders = compute(Mfcc(deltas=2), waveform)["mfcc"]
    assert np.array_equal(values, all_orders[:, : values.shape[1]])


@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize("kind", [Fbank, Mfcc])
def test_frame_counts_follow_the_formula_around_every_boundary(
    kind: type[UtteranceExtractor], snip_edges: bool, speech: dict[str, torch.Tensor]
) -> None:
    waveform = next(iter(speech.values()))
    extractor = kind(snip_edges=snip_edges)
    lengths = boundary_lengths(extractor.framing.window_length, extractor.framing.hop_length)
    for num_samples in [extractor.framing.min_samples, *lengths]:
        [values] = list(compute(extractor, waveform[:num_samples]).values())[1:]
        expected = (num_samples + 80) // 160 if not snip_edges else 1 + (num_samples - 400) // 160
        assert len(values) == expected


@pytest.mark.parametrize(("snip_edges", "shortest"), [(True, 400), (False, 80)])
def test_waveform_too_short_for_a_frame_is_an_audio_error(snip_edges: bool, shortest: int) -> None:
    extractor = Fbank(snip_edges=snip_edges)
    assert compute(extractor, torch.zeros(shortest))["fbank"].shape == (1, 23)
    message = f"utterance 'a' is too short.*expected {shortest} samples at 16000 Hz.*{shortest - 1}"
    with pytest.raises(AudioError, match=message):
        compute(extractor, torch.zeros(shortest - 1))


@pytest.mark.parametrize(
    ("options", "first_center_s"),
    [
        ({"snip_edges": True}, 0.0125),
        ({"snip_edges": False}, 0.005),
        ({"snip_edges": False, "frame_shift_ms": 20.0}, 0.01),
        ({"snip_edges": False, "frame_length_ms": 32.0}, 0.005),
    ],
)
def test_frames_are_loudest_for_a_click_at_the_centre_their_framing_says(
    options: dict[str, Any], first_center_s: float
) -> None:
    extractor = Fbank(
        window_type="hanning", preemphasis=0.0, remove_dc_offset=False, num_mel_bins=10, **options
    )
    framing = extractor.framing
    assert framing.first_frame_center_s == first_center_s
    frame = 5  # clear of the edges and their mirror images
    center = first_center_s * 16000 + frame * framing.hop_length
    clicks = [int(center) + offset for offset in range(-12, 13)]
    loudness = [
        compute(extractor, one_hot(torch.tensor(click), 3200).float())["fbank"][frame].sum()
        for click in clicks
    ]
    # the window's middle lies between two samples
    assert abs(clicks[int(np.argmax(loudness))] + 0.5 - center) <= 0.5


@pytest.mark.parametrize("kind", [Fbank, Mfcc])
@pytest.mark.parametrize("energy_floor", [0.0, 1e-9])
def test_energy_of_silence_is_kaldis_epsilon_however_low_the_floor(
    kind: type[KaldiExtractor], energy_floor: float
) -> None:
    extractor = kind(use_energy=True, energy_floor=energy_floor)
    [values] = list(compute(extractor, torch.zeros(800)).values())[1:]
    assert np.isfinite(values).all()
    assert np.allclose(values[:, 0], np.log(np.finfo(np.float32).eps))


def test_defaults_are_torchaudios() -> None:
    for kind, function in (
        (Fbank, torchaudio.compliance.kaldi.fbank),
        (Mfcc, torchaudio.compliance.kaldi.mfcc),
    ):
        theirs = signature(function).parameters
        ours = {field.name: field.default for field in fields(kind)}
        for name in set(ours) - {"waveform_scale", "deltas"}:
            assert ours[name] == theirs[TORCHAUDIO_NAMES.get(name, name)].default, name


@pytest.mark.parametrize(("window_length", "hop_length"), [(25, 1), (10, 4), (5, 2), (3, 8)])
def test_edges_are_mirrored_as_kaldi_does(window_length: int, hop_length: int) -> None:
    framing = Framing(
        sample_rate=8, window_length=window_length, hop_length=hop_length, snip_edges=False
    )
    for num_samples in range(framing.min_samples, 41):
        mirrored = mirror_edges(torch.arange(float(num_samples)), framing, repeats_edge=True)
        frames = mirrored.unfold(0, window_length, hop_length)
        assert len(frames) == framing.num_frames(num_samples)
        for frame, row in enumerate(frames.tolist()):
            first = hop_length * frame + hop_length // 2 - window_length // 2
            for offset, found in enumerate(row):
                position = first + offset
                while not 0 <= position < num_samples:  # feature-window.cc, ExtractWindow
                    position = -position - 1 if position < 0 else 2 * num_samples - 1 - position
                assert found == position


@pytest.mark.parametrize("extractor", [Fbank(snip_edges=False), Mfcc(deltas=2)], ids=repr)
def test_rows_do_not_depend_on_batch_mates(
    extractor: UtteranceExtractor, speech: dict[str, torch.Tensor]
) -> None:
    assert_batch_mates_change_no_bit(extractor, speech)


def test_bits_do_not_depend_on_how_the_caller_aligned_the_waveform(
    speech: dict[str, torch.Tensor],
) -> None:
    waveform = next(iter(speech.values()))
    buffer = torch.empty(len(waveform) + 1)
    buffer[1:] = waveform
    for extractor in (Fbank(), Mfcc(deltas=2, waveform_scale=1.0)):
        [shifted], [plain] = (
            list(compute(extractor, samples).values())[1:] for samples in (buffer[1:], waveform)
        )
        assert np.array_equal(shifted, plain)


def test_computing_leaves_the_waveform_as_it_was(speech: dict[str, torch.Tensor]) -> None:
    waveform = next(iter(speech.values()))
    before = waveform.clone()
    compute(Fbank(waveform_scale=INT16_SCALE), waveform)
    assert torch.equal(waveform, before)


def test_rows_of_a_long_recording_equal_those_of_its_parts_cut_at_block_boundaries(
    speech: dict[str, torch.Tensor],
) -> None:
    recording = torch.cat(list(speech.values()))
    extractor = Fbank(num_mel_bins=80, waveform_scale=INT16_SCALE)
    whole = compute(extractor, recording)["fbank"]
    cut = 512
    tail = compute(extractor, recording[cut * 160 :])["fbank"]
    assert np.array_equal(whole[cut:], tail)


PIECEWISE: list[KaldiExtractor] = [
    Fbank(num_mel_bins=80, waveform_scale=INT16_SCALE),
    Fbank(snip_edges=False, use_energy=True),
    Fbank(snip_edges=False, frame_length_ms=30.0625, frame_shift_ms=7.0),
    Fbank(frame_length_ms=5.0, frame_shift_ms=10.0, num_mel_bins=10),
    Mfcc(),
    Mfcc(deltas=1, snip_edges=False),
    Mfcc(deltas=2),
]


@pytest.mark.parametrize("extractor", PIECEWISE, ids=repr)
def test_pieces_equal_the_whole_bit_for_bit_around_every_boundary(
    extractor: KaldiExtractor,
    speech: dict[str, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(framewise, "_WINDOW_FRAMES", 768)
    recording = torch.cat(list(speech.values()))
    framing = extractor.framing
    [name] = extractor.outputs
    for num_frames in (768, 769, 770, 1023, 1024, 1025, 1280, 1281, 1537, 2049):
        reach = num_frames * framing.hop_length
        if framing.snip_edges:
            reach += framing.window_length - framing.hop_length
        for num_samples in (reach - 1, reach, reach + 1, reach + framing.hop_length // 2):
            waveform = recording[:num_samples]
            pieces = compute_pieces(extractor, waveform)
            whole = compute(extractor, waveform)[name]
            assert all(len(piece[name]) for piece in pieces)
            assert np.array_equal(joined(pieces, name), whole), num_samples


@pytest.mark.parametrize("extractor", PIECEWISE[::6], ids=repr)
def test_some_minutes_more_than_the_limit_are_pieces_that_equal_the_whole(
    extractor: KaldiExtractor,
) -> None:
    assert extractor.max_samples > 2 * 60 * 16000
    num_samples = 2 * extractor.max_samples + 640
    noise = torch.randn(num_samples, generator=torch.Generator().manual_seed(0))
    pieces = compute_pieces(extractor, noise)
    [name] = extractor.outputs
    assert len(pieces) == 3
    assert np.array_equal(joined(pieces, name), compute(extractor, noise)[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_type": "kaiser"}, "Fbank window_type: expected povey or hanning or .*got kaiser"),
        ({"num_mel_bins": 3}, "num_mel_bins: expected over 3, got 3"),
        ({"frame_length_ms": 0.05}, "frame_length_ms: expected at least 2 samples"),
        ({"frame_shift_ms": 0.0}, "frame_shift_ms: expected at least 1 sample"),
        ({"preemphasis": 1.5}, "preemphasis: expected between 0 and 1"),
        ({"low_freq": 4000.0, "high_freq": 3000.0}, "low_freq: expected from 0 to under 3000 Hz"),
        ({"high_freq": 9000.0}, "high_freq: expected at most 8000 Hz, got 9000"),
        ({"energy_floor": -1.0}, "energy_floor: expected 0 or more"),
        ({"waveform_scale": 0.0}, "waveform_scale: expected over 0"),
        ({"sample_rate": 0}, "sample_rate: expected over 0 Hz"),
        ({"num_mel_bins": 128}, "num_mel_bins 128: .*512-point FFT, got none in filters .*lower"),
    ],
)
def test_fbank_refuses_an_option_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Fbank(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_ceps": 24}, "Mfcc num_ceps: expected from 1 to num_mel_bins, got 24"),
        ({"deltas": 3}, "Mfcc deltas: expected 0, 1 or 2, got 3"),
        ({"cepstral_lifter": -1.0}, "Mfcc cepstral_lifter: expected 0 or more"),
        ({"window_type": ""}, "Mfcc window_type"),
    ],
)
def test_mfcc_refuses_an_option_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Mfcc(**options)
