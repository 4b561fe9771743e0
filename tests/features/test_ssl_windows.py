"""Long recordings in windows: the convolutions are those of the whole, and every frame is there."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torchaudio.pipelines
from torchaudio.pipelines import Wav2Vec2Bundle

from featbank.errors import ConfigError
from featbank.features.encoders.ssl import SslEncoder
from featbank.features.encoders.ssl_front_end import RecordingFrontEnd
from featbank.features.signal.moments import frame_moments
from featbank.features.windows import plan_windows, read_windows
from tests.features.checks import Held, compute, compute_pieces, joined

TOLERANCE = 1e-5  # of values of about 1: what float32 rounding makes of statistics in another order
KINDS = {  # extractor mode, whether the waveform is normalised
    "base": ("group_norm", False),
    "base, normalised": ("group_norm", True),
    "large": ("layer_norm", True),
}


@pytest.fixture(params=KINDS)
def tiny(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bundle of 800 frames a second that sees 30 samples, with a small transformer."""
    mode, normalize = KINDS[request.param]
    params = {
        **torchaudio.pipelines.WAV2VEC2_BASE._params,
        "extractor_mode": mode,
        "extractor_conv_bias": mode == "layer_norm",
        "extractor_conv_layer_config": [(16, 10, 5), (16, 3, 2), (16, 2, 2)],
        "encoder_embed_dim": 16,
        "encoder_num_layers": 2,
        "encoder_num_heads": 2,
        "encoder_ff_interm_features": 32,
        "encoder_pos_conv_groups": 4,
    }
    bundle = Wav2Vec2Bundle(
        _path="tiny.pth",
        _params=params,
        _sample_rate=16000,
        _normalize_waveform=normalize,
        _model_type="Wav2Vec2",
    )
    monkeypatch.setattr(torchaudio.pipelines, "TINY", bundle, raising=False)
    return "TINY"


def encoder(tiny: str, **settings: Any) -> SslEncoder:
    return SslEncoder(bundle=tiny, layers={"a": 1, "b": 2}, weights="random", **settings)


def make_local(encoder: SslEncoder) -> SslEncoder:
    """Let attention add nothing, so that a frame sees 64 frames to each side and no more."""
    for layer in encoder._model.encoder.transformer.layers:
        torch.nn.init.zeros_(layer.attention.out_proj.weight)
    return encoder


@pytest.fixture(scope="module")
def uneven(speech: dict[str, torch.Tensor]) -> torch.Tensor:
    """Ten seconds whose statistics change on the way: offset, loudness, silence."""
    waveform = torch.cat(list(speech.values()))[:160_000].clone()
    waveform[:50_000] *= 0.05
    waveform[90_000:100_000] = 0
    return waveform + torch.linspace(0.0, 0.1, len(waveform))


def test_convolutions_in_windows_give_what_they_give_of_the_whole(
    tiny: str, uneven: torch.Tensor
) -> None:
    made = encoder(tiny)
    architecture, epsilon = made._architecture, made._epsilon
    normalize = architecture.normalize_waveform
    assert epsilon == (1e-5 if normalize else None)
    with torch.inference_mode():
        waveform = uneven
        if normalize:
            waveform = torch.nn.functional.layer_norm(waveform, waveform.shape)
        whole, _ = made._model.feature_extractor(waveform[None], None)
        front_end = RecordingFrontEnd(made._parts, Held(uneven), epsilon=epsilon)
        windows = plan_windows(len(uneven), made.framing, max_frames=1000)
        assert len(windows) == 8
        found = torch.cat(
            [
                front_end(torch.from_numpy(read)[None])
                for _, read in read_windows(Held(uneven), windows)
            ],
            dim=1,
        )
        assert (found - whole).abs().max() < 2e-6 * whole.abs().max()
        # which windows each normalised by themselves do not
        if normalize or architecture.params["extractor_mode"] == "group_norm":
            first = uneven[: windows[0].samples.stop]
            alone = RecordingFrontEnd(made._parts, Held(first), epsilon=epsilon)(first[None])
            assert (alone - whole[:, : alone.shape[1]]).abs().max() > 1e-2


def test_windows_of_a_local_network_are_stitched_to_the_whole(
    tiny: str, uneven: torch.Tensor
) -> None:
    whole = compute(make_local(encoder(tiny)), uneven)
    seen = make_local(encoder(tiny, max_window_s=1.0, context_s=0.08))  # 64 frames
    blind = make_local(encoder(tiny, max_window_s=1.0, context_s=0.0))
    for name in seen.outputs:
        pieces, cut = compute_pieces(seen, uneven), compute_pieces(blind, uneven)
        assert len(pieces) == 12
        assert np.abs(joined(pieces, name) - whole[name]).max() < TOLERANCE
        assert np.abs(joined(cut, name) - whole[name]).max() > 0.1


def test_frames_are_as_many_as_the_formula_says_around_every_boundary(
    tiny: str, speech: dict[str, torch.Tensor]
) -> None:
    made = encoder(tiny, max_window_s=0.1, context_s=0.02)
    waveform = torch.cat(list(speech.values()))
    assert made.max_samples == 1600
    assert (made.framing.window_length, made.framing.hop_length) == (30, 20)
    for limit in (1600, 2440, 3280):
        for tail in (0, 1, 19, 20, 21, 29, 30, 31, 40):
            pieces = compute_pieces(made, waveform[: limit + tail])
            assert all(0 < len(piece["a"]) == len(piece["b"]) for piece in pieces)
            assert len(joined(pieces, "a")) == 1 + (limit + tail - 30) // 20


def test_windowing_changes_no_bit_of_an_utterance_under_the_limit(
    tiny: str, uneven: torch.Tensor
) -> None:
    made = encoder(tiny, max_window_s=1.0, context_s=0.1)
    assert made.max_samples == 16000
    assert encoder(tiny).max_samples is None
    shorter = uneven[:16000]
    assert np.array_equal(compute(made, shorter)["b"], compute(encoder(tiny), shorter)["b"])


def test_pieces_are_a_function_of_the_recording(tiny: str, uneven: torch.Tensor) -> None:
    made = encoder(tiny, max_window_s=1.0, context_s=0.1)
    buffer = torch.empty(len(uneven) + 1)
    buffer[1:] = uneven
    first = joined(compute_pieces(made, uneven), "b")
    assert np.array_equal(joined(compute_pieces(made, buffer[1:]), "b"), first)
    compute(made, uneven[:16000])
    # begun before another recording, and gone on with after it
    pieces = made.compute_pieces(Held(uneven), "test")
    begun = [next(pieces)]
    compute_pieces(made, uneven[:40_000] * 3)
    assert np.array_equal(joined([*begun, *pieces], "b"), first)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_window_s": 10.0}, "under half a window of 9.98 s, got 5.0"),
        ({"max_window_s": 0.0, "context_s": 0.0}, "under half a window of 0 s, got 0.0"),
        ({"max_window_s": 10.0, "context_s": -1.0}, "context_s: expected 0 seconds or more"),
    ],
)
def test_windows_without_room_between_their_contexts_are_refused(
    settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        SslEncoder(bundle="WAVLM_BASE", layers={"a": 1}, weights="nowhere.pt", **settings)


@pytest.mark.parametrize(("length", "hop", "rest"), [(1, 1, 0), (10, 5, 3), (7, 9, 8)])
def test_moments_are_those_of_all_frames_in_double_precision(
    length: int, hop: int, rest: int
) -> None:
    rng = np.random.default_rng(0)
    waveform = (rng.standard_normal(300_000 + rest) * 1e-3 + 0.5).astype(np.float32)
    found = frame_moments(Held(torch.from_numpy(waveform)), length=length, hop=hop)
    frames = np.lib.stride_tricks.sliding_window_view(waveform.astype(np.float64), length)[::hop]
    np.testing.assert_allclose(found.mean, frames.mean(axis=0), rtol=1e-12)
    covariance = np.cov(frames.T, bias=True).reshape(length, length)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-14)


def test_the_seams_of_an_option_are_measured_as_typed(
    root: Path,
    tmp_path: Path,
    uneven: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    soundfile.write(tmp_path / "a.flac", uneven[:96_000].numpy(), 16000)
    command = [str(root / "conf/feature/hubert.yaml"), str(tmp_path / "a.flac")]
    options = ["weights=random", "layers={hubert: 1}", "max_window_s=4", "context_s=1.4"]
    monkeypatch.setattr(sys, "argv", ["seams", *command, *options])
    runpy.run_module("benchmarks.seams", run_name="__main__")
    printed = capsys.readouterr().out
    assert "hubert: 4 s windows, 1.4 s context" in printed
    rows = [line.split("|") for line in printed.splitlines() if " to " in line]
    assert sum(int(row[1]) for row in rows) == 299
    # beyond the reach of the positional convolution, a seam is no worse than the rest of a window
    assert max(float(row[2]) for row in rows) < 0.3
