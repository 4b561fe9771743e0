"""Whisper's encoder: the values of transformers' feature extractor and model, and no silence."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchaudio.functional import melscale_fbanks
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperModel,
)
from transformers.audio_utils import mel_filter_bank

from featbank.errors import AudioError, ConfigError
from featbank.features.base import AudioBatch
from featbank.features.encoders.whisper import WhisperEncoder
from featbank.features.shapes import batch_shape
from featbank.features.signal.whisper_mel import greatest_log10_mel, log_mel, mel_filters
from featbank.files.provenance import file_sha256
from tests.features.checks import (
    Held,
    assert_batch_mates_change_no_bit,
    boundary_lengths,
    compute,
    compute_pieces,
    joined,
)

WINDOW_S = 2  # of the tiny models; the published ones take 30
ENCODER = {
    "d_model": 32,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "max_source_positions": 50 * WINDOW_S,
}
DECODER = {
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "vocab_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
LAYERS = {"first": 0, "second": 2, "third": 3, "every": "all", "last": "final"}


@pytest.fixture(scope="module", params=[80, 128])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with its decoder, as transformers saves it; 128 bins are those of large-v3."""
    folder = tmp_path_factory.mktemp(f"whisper-{request.param}")
    config = WhisperConfig(**ENCODER, **DECODER, num_mel_bins=request.param)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = WhisperForConditionalGeneration(config)
        for tensor in model.parameters():
            tensor.data += 0.1 * torch.randn_like(tensor)  # no norm of 1, no bias of 0
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def long(speech: dict[str, torch.Tensor]) -> torch.Tensor:
    """Over seven windows of the tiny models, at first quiet, then loud, then without a sound."""
    waveform = torch.cat(list(speech.values()))[: 15 * 16000 + 77].clone()
    waveform[:50_000] *= 0.01
    waveform[150_000:190_000] = 0
    return waveform


def encoder(folder: Path, layers: dict[str, Any] = LAYERS, **settings: Any) -> WhisperEncoder:
    return WhisperEncoder(
        model="a/b",
        architecture=ENCODER,
        layers=layers,
        weights=str(folder),
        weights_sha256=file_sha256(folder / "model.safetensors"),
        **{"context_s": 0.4, **settings},
    )


def random_encoder(**settings: Any) -> WhisperEncoder:
    given = {"architecture": ENCODER, "layers": LAYERS, "context_s": 0.4, **settings}
    return WhisperEncoder(model="a/b", weights="random", **given)


def feature_extractor(folder: Path) -> WhisperFeatureExtractor:
    num_mel_bins = WhisperConfig.from_pretrained(folder).num_mel_bins
    return WhisperFeatureExtractor(feature_size=num_mel_bins, chunk_length=WINDOW_S)


@cache
def reference(folder: Path) -> torch.nn.Module:
    return WhisperModel.from_pretrained(folder).encoder.eval()


def states_by_transformers(folder: Path, log_mel: torch.Tensor) -> dict[str, torch.Tensor]:
    """Encode (B, num_mel_bins, T) as the library's users do."""
    model = reference(folder)
    with torch.inference_mode():
        found = model(log_mel, output_hidden_states=True)
        # the last of its states is behind the norm, so that layer 3 itself is not among them
        third = model.layers[2](found.hidden_states[2], None)
    assert torch.equal(found.hidden_states[3], found.last_hidden_state)
    states = [*found.hidden_states[:3], third]
    return {
        "first": states[0],
        "second": states[2],
        "third": third,
        "every": torch.stack(states, dim=2),
        "last": found.last_hidden_state,
    }


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_filters_are_those_of_transformers_which_torchaudios_are_not_quite(
    num_mel_bins: int,
) -> None:
    expected = mel_filter_bank(
        201, num_mel_bins, 0.0, 8000.0, 16000, norm="slaney", mel_scale="slaney"
    ).T
    assert np.abs(mel_filters(num_mel_bins).numpy() - expected).max() < 2e-9
    by_torchaudio = melscale_fbanks(201, 0.0, 8000.0, num_mel_bins, 16000, "slaney", "slaney").T
    assert np.abs(by_torchaudio.numpy() - expected).max() > 2e-8


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_log_mel_is_that_of_transformers(
    num_mel_bins: int, speech: dict[str, torch.Tensor]
) -> None:
    reference = WhisperFeatureExtractor(feature_size=num_mel_bins)
    for waveform in (*list(speech.values())[:3], torch.zeros(16000)):
        expected = reference(waveform.numpy(), sampling_rate=16000, return_tensors="pt")
        padded = torch.nn.functional.pad(waveform, (0, 480_000 - len(waveform)))
        found = log_mel(padded.unsqueeze(0), mel_filters(num_mel_bins))
        assert found.shape == (1, num_mel_bins, 3000)
        assert (found - expected.input_features).abs().max() < 1e-6


def test_states_are_those_of_transformers_up_to_the_waveforms_end(
    saved: Path, speech: dict[str, torch.Tensor]
) -> None:
    made, extract = encoder(saved), feature_extractor(saved)
    for waveform in (*speech.values(), torch.zeros(16000)):
        samples = waveform[: WINDOW_S * 16000]
        mel = extract(samples.numpy(), sampling_rate=16000, return_tensors="pt")
        expected = states_by_transformers(saved, mel.input_features)
        found = compute(made, samples)
        for name, states in expected.items():
            own = states[0, : (len(samples) + 160) // 320].numpy()
            np.testing.assert_allclose(found[name], own, atol=2e-5, rtol=1e-5)


def test_only_the_encoder_is_kept_and_named(saved: Path, tmp_path: Path) -> None:
    config = WhisperConfig.from_pretrained(saved)
    other = WhisperModel(WhisperConfig(**{**config.to_dict(), "decoder_layers": 2}))
    other.encoder.load_state_dict(reference(saved).state_dict())
    other.save_pretrained(tmp_path)  # with other names for its tensors too
    made, same = encoder(saved, license="MIT"), encoder(tmp_path, license="MIT")
    assert made.weights == same.weights
    assert (made.weights.source, made.weights.license) == ("file", "MIT")
    assert not [name for name, _ in made._model.named_parameters() if "decoder" in name]


def test_fewer_layers_are_run_than_there_are(saved: Path, speech: dict[str, torch.Tensor]) -> None:
    whole, part = encoder(saved), encoder(saved, {"second": 2})
    for layer in part._model.layers[2:]:
        torch.nn.init.constant_(layer.fc1.weight, torch.nan)
    waveform = speech[min(speech)][: WINDOW_S * 16000]
    assert np.array_equal(compute(part, waveform)["second"], compute(whole, waveform)["second"])


def test_frames_are_as_many_as_the_model_has_around_every_boundary(
    speech: dict[str, torch.Tensor],
) -> None:
    made = random_encoder(layers={"first": 0})
    waveform = torch.cat(list(speech.values()))
    assert (made.max_samples, made.framing.min_samples) == (32000, 160)
    for num_samples in (*boundary_lengths(160, 320), 31839, 31840, 31999, 32000):
        mel = log_mel(waveform[None, : max(num_samples, 201)], mel_filters(80))
        if num_samples > 200:  # shorter ones cannot be mirrored
            by_the_model = made._model.conv2(made._model.conv1(mel)).shape[2]
            assert made.framing.num_frames(num_samples) == by_the_model
        features = compute(made, waveform[:num_samples])
        assert len(features["first"]) == (num_samples + 160) // 320
    with pytest.raises(AudioError, match="too short for one frame: expected 160 samples"):
        compute(made, waveform[:159])


def test_a_frame_sees_its_window_around_sample_320_t(speech: dict[str, torch.Tensor]) -> None:
    # loud far away, so that the greatest value is not among the samples that change
    waveform = 1e-2 * torch.cat(list(speech.values()))[:32000]
    waveform[20_000:] *= 100
    made = random_encoder(layers={"first": 0})
    seen = made.framing.span(range(20, 21))
    assert seen == range(20 * 320 - 520, 20 * 320 + 520)
    before = compute(made, waveform)["first"]
    for sample, changes in ((seen.start + 2, True), (seen.start - 1, False), (seen.stop, False)):
        changed = waveform.clone()
        changed[sample] += 0.5  # a Hann window weighs its first samples with almost nothing
        assert np.array_equal(compute(made, changed)["first"][20], before[20]) != changes


def test_batch_mates_change_no_bit(speech: dict[str, torch.Tensor]) -> None:
    made = random_encoder()
    assert_batch_mates_change_no_bit(made, {id: w[:30_000] for id, w in speech.items()})  # noqa: A001


@pytest.mark.parametrize("longest", [32000, 16000])  # more, and fewer, samples than rows can hold
def test_a_batch_of_a_shape_gives_what_each_gives_alone(
    longest: int, speech: dict[str, torch.Tensor]
) -> None:
    made = random_encoder()
    assert made.uses_device
    made.to("cpu")
    waveforms = [wave[: longest - 2000 * row] for row, wave in enumerate(speech.values())]
    waveforms[2] = torch.zeros(10_000)
    batch = AudioBatch(
        ids=[str(row) for row in range(len(waveforms))],
        waveforms=waveforms,
        shape=batch_shape(longest, 8 * 32000),
    )
    for features, waveform in zip(made.compute_features(batch, "train"), waveforms, strict=True):
        alone = compute(made, waveform)
        for name in made.outputs:
            np.testing.assert_allclose(features[name], alone[name], atol=1e-5, rtol=1e-5)


def test_windows_are_those_of_the_log_mel_of_the_whole_recording(
    saved: Path, long: torch.Tensor
) -> None:
    """As openai/whisper transcribes: one log-mel, of the recording and a window of silence."""
    silence = WINDOW_S * 16000
    padded = torch.nn.functional.pad(long, (0, silence)).numpy()
    mel = feature_extractor(saved)(
        padded, sampling_rate=16000, truncation=False, padding="longest", return_tensors="pt"
    ).input_features
    made = encoder(saved)
    windows = made._windows(len(long))
    pieces = compute_pieces(made, long)
    assert len(windows) == len(pieces) > 7
    for window, piece in zip(windows, pieces, strict=True):
        first = 2 * window.frames.start
        expected = states_by_transformers(saved, mel[..., first : first + 100 * WINDOW_S])
        for name, states in expected.items():
            own = states[0, window.kept_rows].numpy()
            np.testing.assert_allclose(piece[name], own, atol=2e-5, rtol=1e-5)
    assert len(joined(pieces, "last")) == (len(long) + 160) // 320


def test_a_window_by_itself_would_have_another_floor(saved: Path, long: torch.Tensor) -> None:
    made = encoder(saved)
    quiet = compute(made, long[: WINDOW_S * 16000])["last"]
    found = joined(compute_pieces(made, long), "last")
    assert np.abs(found[:50] - quiet[:50]).max() > 0.1


def test_the_greatest_value_is_found_in_blocks_wherever_it_is() -> None:
    filters = mel_filters(80)
    for loud in (0, 500_000, 999_990):
        waveform = torch.full((1_000_000,), 1e-3)
        waveform[loud : loud + 9] = 0.5
        padded = torch.nn.functional.pad(waveform, (0, 480_000))
        whole = log_mel(padded.unsqueeze(0), filters).amax() * 4 - 4
        assert abs(greatest_log10_mel(Held(waveform), filters) - whole) < 1e-5


def test_windows_of_a_local_network_are_stitched_to_the_whole(long: torch.Tensor) -> None:
    def local(**settings: Any) -> WhisperEncoder:
        """Without positions, and with an attention that adds nothing: convolutions look around."""
        made = random_encoder(layers={"last": "final"}, **settings)
        torch.nn.init.zeros_(made._model.embed_positions.weight)
        for layer in made._model.layers:
            torch.nn.init.zeros_(layer.self_attn.out_proj.weight)
        return made

    seen, blind = local(context_s=0.04), local(context_s=0.0)
    whole = local(architecture={**ENCODER, "max_source_positions": 50 * 16})
    same = seen._model.state_dict()
    del same["embed_positions.weight"]
    whole._model.load_state_dict(same, strict=False)
    expected = compute(whole, long)["last"]
    np.testing.assert_allclose(joined(compute_pieces(seen, long), "last"), expected, atol=1e-5)
    assert np.abs(joined(compute_pieces(blind, long), "last") - expected).max() > 0.01


@pytest.mark.parametrize("tail", [1, 159, 160, 161, 319, 320, 479, 480, 481])
def test_pieces_of_any_length_have_the_formulas_frames(
    tail: int, speech: dict[str, torch.Tensor]
) -> None:
    waveform = torch.cat(list(speech.values()))
    made = random_encoder(layers={"first": 0})
    for limit in (32000, 32000 + 19200):  # where one window is full, and two
        num_samples = limit + tail
        pieces = compute_pieces(made, waveform[:num_samples])
        assert len(joined(pieces, "first")) == (num_samples + 160) // 320


@pytest.mark.parametrize("context_s", [-0.1, 1.0])
def test_a_context_that_leaves_nothing_of_a_window_is_refused(context_s: float) -> None:
    with pytest.raises(ConfigError, match="context_s: expected 0 seconds or more, and under half"):
        random_encoder(context_s=context_s)
