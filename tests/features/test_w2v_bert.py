"""Wav2Vec2-BERT: the values of transformers' feature extractor and model, and no padding."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

from featbank.errors import AudioError, ConfigError
from featbank.features.encoders.w2v_bert import Wav2Vec2BertEncoder
from featbank.files.provenance import file_sha256
from tests.features.checks import (
    assert_batch_mates_change_no_bit,
    boundary_lengths,
    compute,
    compute_pieces,
    joined,
)

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_depthwise_kernel_size": 5,
}
LAYERS = {"first": 0, "second": 2, "every": "all", "last": "final"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("w2v-bert")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Wav2Vec2BertModel(Wav2Vec2BertConfig(**TINY))
        for tensor in model.parameters():
            tensor.data += 0.1 * torch.randn_like(tensor)  # no norm of 1, no bias of 0
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def long(speech: dict[str, torch.Tensor]) -> torch.Tensor:
    """Twelve seconds, at first quiet, then loud, then almost without a sound."""
    waveform = torch.cat(list(speech.values()))[: 12 * 16000 + 77].clone()
    waveform[:50_000] *= 0.01
    waveform[120_000:150_000] *= 1e-4
    return waveform


def encoder(folder: Path, layers: dict[str, Any] = LAYERS, **settings: Any) -> Wav2Vec2BertEncoder:
    return Wav2Vec2BertEncoder(
        model="a/b",
        architecture=TINY,
        layers=layers,
        weights=str(folder),
        weights_sha256=file_sha256(folder / "model.safetensors"),
        **settings,
    )


@cache
def reference(folder: Path) -> Wav2Vec2BertModel:
    return Wav2Vec2BertModel.from_pretrained(folder).eval()


def by_transformers(folder: Path, **given: torch.Tensor) -> dict[str, torch.Tensor]:
    """Encode what the library's feature extractor gave, or rows of it, as its users do."""
    with torch.inference_mode():
        found = reference(folder)(**given, output_hidden_states=True)
    states = found.hidden_states
    assert len(states) == TINY["num_hidden_layers"] + 1
    return {
        "first": states[0][0],
        "second": states[2][0],
        "every": torch.stack(states, dim=2)[0],
        "last": found.last_hidden_state[0],
    }


@pytest.mark.parametrize("frames", [2, 3, 150, 151])
def test_features_are_those_of_transformers_without_the_frame_it_masks(
    frames: int, saved: Path, speech: dict[str, torch.Tensor]
) -> None:
    made = encoder(saved)
    for waveform in list(speech.values())[::2]:
        samples = waveform[: 400 + 160 * (frames - 1) + 7]
        given = SeamlessM4TFeatureExtractor()(
            samples.numpy(), sampling_rate=16000, return_tensors="pt"
        )
        valid = given["attention_mask"][0].bool()
        assert valid.tolist() == [True] * (frames // 2) + [False] * (frames % 2)
        rows = made._front_end.alone(samples)
        assert (rows - given["input_features"][0, valid]).abs().mean() < 1e-5
        found = compute(made, samples)
        for name, expected in by_transformers(saved, **given).items():
            np.testing.assert_allclose(found[name], expected[valid].numpy(), atol=1e-3)
        for name, expected in by_transformers(saved, input_features=rows.unsqueeze(0)).items():
            np.testing.assert_allclose(found[name], expected.numpy(), atol=1e-5)


def test_frames_are_as_many_as_pairs_around_every_boundary(
    saved: Path, speech: dict[str, torch.Tensor]
) -> None:
    made = encoder(saved)
    waveform = next(iter(speech.values()))
    for num_samples in boundary_lengths(560, 320):
        pairs = (1 + (num_samples - 400) // 160) // 2
        assert made.framing.num_frames(num_samples) == pairs
        assert len(compute(made, waveform[:num_samples])["last"]) == pairs
    with pytest.raises(AudioError, match="too short for one frame: expected 560 samples"):
        compute(made, waveform[:559])


def test_silence_is_nothing_but_numbers(saved: Path) -> None:
    made = encoder(saved)
    assert np.isfinite(compute(made, torch.zeros(16000))["last"]).all()
    assert (made._front_end.alone(torch.zeros(16000)) == 0).all()


def test_batch_mates_change_no_bit(saved: Path, speech: dict[str, torch.Tensor]) -> None:
    assert_batch_mates_change_no_bit(encoder(saved), speech)


def test_fewer_layers_are_run_than_there_are(saved: Path, speech: dict[str, torch.Tensor]) -> None:
    whole, part = encoder(saved), encoder(saved, {"second": 2})
    torch.nn.init.constant_(part._model.encoder.layers[2].final_layer_norm.weight, torch.nan)
    waveform = next(iter(speech.values()))
    assert np.array_equal(compute(part, waveform)["second"], compute(whole, waveform)["second"])


def local(folder: Path, **settings: Any) -> Wav2Vec2BertEncoder:
    """Let attention add nothing, so that a frame sees four frames before it in each layer."""
    made = encoder(folder, **settings)
    for layer in made._model.encoder.layers:
        torch.nn.init.zeros_(layer.self_attn.linear_out.weight)
    return made


def test_windows_are_normalised_over_the_whole_recording(saved: Path, long: torch.Tensor) -> None:
    whole = compute(local(saved, max_window_s=None), long)
    seen = compute_pieces(local(saved, max_window_s=2.0, context_s=0.24), long)
    blind = compute_pieces(local(saved, max_window_s=2.0, context_s=0.0), long)
    assert len(seen) == 8
    assert (encoder(saved).max_samples, local(saved, max_window_s=None).max_samples) == (
        480_000,
        None,
    )
    for name, expected in whole.items():
        if name != "id":
            np.testing.assert_allclose(joined(seen, name), expected, atol=2e-5)
    assert np.abs(joined(blind, "last") - whole["last"]).max() > 0.01


@pytest.mark.parametrize("tail", [0, 1, 159, 160, 319, 320, 559, 560, 561])
def test_pieces_of_any_length_have_the_formulas_frames(
    tail: int, saved: Path, long: torch.Tensor
) -> None:
    made = encoder(saved, {"first": 0}, max_window_s=1.0, context_s=0.1)
    for num_samples in (16001 + tail, 28800 + tail):
        pieces = compute_pieces(made, long[:num_samples])
        assert len(joined(pieces, "first")) == 1 + (num_samples - 560) // 320


@pytest.mark.parametrize("context_s", [-0.1, 0.5])
def test_a_context_that_leaves_nothing_of_a_window_is_refused(
    saved: Path, context_s: float
) -> None:
    with pytest.raises(ConfigError, match="context_s: expected 0 seconds or more, and under half"):
        encoder(saved, max_window_s=1.0, context_s=context_s)
