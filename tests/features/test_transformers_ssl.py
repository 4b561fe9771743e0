"""Encoders of the transformers library: parity with its own models and with torchaudio's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio.pipelines
from safetensors.torch import load_file, save_file
from torchaudio.models.wav2vec2.utils import import_huggingface
from torchaudio.pipelines import Wav2Vec2Bundle
from transformers import Wav2Vec2FeatureExtractor

from featbank.base.building import build
from featbank.errors import AudioError, ConfigError, WeightsError
from featbank.features.base import AudioBatch, Output
from featbank.features.encoders.ssl import SslEncoder
from featbank.features.encoders.ssl_front_end import RecordingFrontEnd
from featbank.features.encoders.transformers_ssl import KINDS, TransformersEncoder
from featbank.features.shapes import BatchShape
from featbank.features.windows import plan_windows
from featbank.files.provenance import file_sha256
from tests.features.checks import (
    Held,
    assert_batch_mates_change_no_bit,
    boundary_lengths,
    compute,
    compute_pieces,
    joined,
)

TOLERANCE = 1e-5  # of values of about 1: law 7
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [16, 16, 16, 16],
    "conv_kernel": [10, 8, 4, 4],
    "conv_stride": [5, 4, 4, 4],
    "num_feat_extract_layers": 4,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}
BASE = {"feat_extract_norm": "group", "do_stable_layer_norm": False}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "wavlm base": ("wavlm", BASE),
    "wavlm large": ("wavlm", LARGE),
    "hubert base": ("hubert", BASE),
    "hubert large": ("hubert", LARGE),
    "hubert of batch norm": ("hubert", {**BASE, "conv_pos_batch_norm": True}),
    "wav2vec2 base": ("wav2vec2", BASE),
    "wav2vec2 large": ("wav2vec2", LARGE),
    "data2vec": ("data2vec-audio", {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 7}),
}
LAYERS = {"0": 0, "1": 1, "2": 2, "3": 3, "final": "final", "all": "all", "mean": "uniform"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A saved model of each build, with no bias of zero, so that padding is not zero by chance."""
    folders = {}
    for name, (kind, fields) in MODELS.items():
        model_class = KINDS[kind]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = model_class(model_class.config_class(**{**TINY, **fields}))
            for key, tensor in model.state_dict().items():
                if key.endswith(("bias", "running_mean")):
                    torch.nn.init.normal_(tensor, std=0.3)
        folders[name] = tmp_path_factory.mktemp(kind)
        model.save_pretrained(folders[name])
        processor = Wav2Vec2FeatureExtractor(do_normalize=name.endswith("large"))
        processor.save_pretrained(folders[name])
    return folders


def config(folder: Path, **settings: Any) -> dict[str, Any]:
    stated = json.loads((folder / "config.json").read_text())
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    return {
        "_target_": "featbank.features.encoders.transformers_ssl.TransformersEncoder",
        "kind": stated["model_type"],
        "model": "tiny/encoder",
        "layers": LAYERS,
        "normalize_waveform": processor["do_normalize"],
        "weights": str(folder),
        "weights_sha256": file_sha256(folder / "model.safetensors"),
        **settings,
    }


def encoder_of(folder: Path, **settings: Any) -> TransformersEncoder:
    made = build(config(folder, **settings))
    assert isinstance(made, TransformersEncoder)
    return made


@pytest.fixture(params=MODELS, scope="module")
def folder(request: pytest.FixtureRequest, folders: Mapping[str, Path]) -> Path:
    return folders[request.param]


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TransformersEncoder:
    return encoder_of(folder)


@pytest.fixture(scope="module")
def waveform(speech: dict[str, torch.Tensor]) -> torch.Tensor:
    return next(iter(speech.values()))[:20_000] + 0.01


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(found - expected).max() < TOLERANCE * scale


def test_every_state_is_the_librarys_own(
    encoder: TransformersEncoder, folder: Path, waveform: torch.Tensor
) -> None:
    model = KINDS[json.loads((folder / "config.json").read_text())["model_type"]]
    reference = model.from_pretrained(folder).eval()
    processor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    given = processor(waveform.numpy(), sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        theirs = reference(given["input_values"], output_hidden_states=True)
    ours = compute(encoder, waveform)
    states = [state[0].numpy() for state in theirs.hidden_states]
    assert len(states) == 4
    for number, state in enumerate(states):
        assert_close(ours[str(number)], state)
    assert_close(ours["final"], theirs.last_hidden_state[0].numpy())
    assert_close(ours["all"], np.stack(states, axis=1))
    assert_close(ours["mean"], np.mean(states, axis=0))
    stable = reference.config.to_dict().get("do_stable_layer_norm", False)
    assert (np.abs(ours["final"] - ours["3"]).max() > 0.1) == stable
    assert encoder.outputs["all"] == Output((4, 16))
    assert encoder.outputs["final"] == Output((16,))


def test_it_stops_at_the_deepest_layer(folders: Mapping[str, Path], waveform: torch.Tensor) -> None:
    shallow = encoder_of(folders["wavlm large"], layers={"a": 1})
    ran: list[int] = []
    for number, layer in enumerate(shallow._model.encoder.layers, start=1):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    compute(shallow, waveform)
    assert ran == [1]


@pytest.mark.parametrize("name", [name for name in MODELS if name.endswith(("base", "large"))])
def test_torchaudios_build_of_the_same_weights_gives_the_same(
    name: str,
    folders: Mapping[str, Path],
    waveform: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = encoder_of(folders[name], layers=LAYERS)
    encoder._epsilon = None  # the libraries add another epsilon to the variance of a waveform
    model, is_wavlm = encoder._model, name.startswith("wavlm")
    take = import_huggingface._get_config_wavlm if is_wavlm else import_huggingface._get_config
    converted = import_huggingface.import_huggingface_model(model)
    torch.save(converted.state_dict(), tmp_path / "tiny.pth")
    bundle = Wav2Vec2Bundle(
        _path="tiny.pth",
        _params=take(model.config),
        _sample_rate=16_000,
        _normalize_waveform=False,
        _model_type="WavLM" if is_wavlm else "Wav2Vec2",
    )
    monkeypatch.setattr(torchaudio.pipelines, "TINY", bundle, raising=False)
    other = SslEncoder(
        bundle="TINY",
        layers=LAYERS,
        weights=str(tmp_path / "tiny.pth"),
        weights_sha256=file_sha256(tmp_path / "tiny.pth"),
    )
    assert other.framing == encoder.framing
    assert other.outputs == encoder.outputs
    ours, theirs = compute(encoder, waveform), compute(other, waveform)
    for feature in LAYERS:
        assert_close(ours[feature], theirs[feature])


SHAPE = BatchShape(rows=6, samples=16_384)


def test_a_row_of_a_padded_batch_is_what_it_is_alone(
    encoder: TransformersEncoder, speech: dict[str, torch.Tensor]
) -> None:
    whole = torch.cat(list(speech.values()))
    lengths = [16_384, 345, 346, 9_000, 15_999]
    ragged = {str(n): whole[start * 999 :][:n] + 0.1 for start, n in enumerate(lengths)}
    batch = AudioBatch(ids=list(ragged), waveforms=list(ragged.values()), shape=SHAPE)
    rows = encoder.compute_features(batch, "train")
    for row in rows:
        alone = compute(encoder, ragged[row["id"]])
        for feature in encoder.outputs:
            assert_close(row[feature], alone[feature])
    mates = AudioBatch(ids=["9000"], waveforms=[ragged["9000"]], shape=SHAPE)
    [again] = encoder.compute_features(mates, "train")
    for feature in encoder.outputs:
        assert np.array_equal(again[feature], rows[3][feature])
    assert_batch_mates_change_no_bit(encoder, ragged)


def test_frame_grid_is_that_of_the_convolutions_around_every_boundary(
    encoder: TransformersEncoder, waveform: torch.Tensor
) -> None:
    framing = encoder.framing
    assert (framing.window_length, framing.hop_length, framing.frame_rate) == (345, 320, 50.0)
    for num_samples in boundary_lengths(345, 320):
        rows = encoder._model.feature_extractor(waveform[None, :num_samples]).shape[2]
        assert len(compute(encoder, waveform[:num_samples])["1"]) == rows
        assert rows == 1 + (num_samples - 345) // 320
    with pytest.raises(AudioError, match="expected 345 samples at 16000 Hz, got 344"):
        compute(encoder, waveform[:344])


def test_convolutions_in_windows_give_what_they_give_of_the_whole(
    encoder: TransformersEncoder, folder: Path, speech: dict[str, torch.Tensor]
) -> None:
    loudness = [1.0, 0.01, 1.0, 0.01, 1.0]
    uneven = torch.cat([a * one for a, one in zip(loudness, speech.values(), strict=False)])
    uneven = uneven[:100_000] + 0.01
    with torch.inference_mode():
        given = uneven
        if encoder._epsilon is not None:
            given = torch.nn.functional.layer_norm(uneven, uneven.shape, eps=encoder._epsilon)
        whole = encoder._parts.convolve(given[None])
        front_end = RecordingFrontEnd(encoder._parts, Held(uneven), epsilon=encoder._epsilon)
        windows = plan_windows(len(uneven), encoder.framing, max_frames=100)
        found = torch.cat(
            [
                front_end(uneven[None, w.samples.start : w.samples.stop])[:, w.kept_rows]
                for w in windows
            ],
            dim=1,
        )
    assert len(windows) == 4
    assert found.shape == whole.shape
    assert (found - whole).abs().max() < 1e-5 * whole.abs().max()
    windowed = encoder_of(folder, max_window_s=2.0, context_s=0.5)
    features = joined(compute_pieces(windowed, uneven), "all")
    assert features.shape == (windowed.framing.num_frames(100_000), 4, 16)
    assert windowed.max_samples == 32_000


def test_weights_are_named_by_what_they_are(folders: Mapping[str, Path]) -> None:
    folder = folders["hubert base"]
    weights = encoder_of(folder, license="Apache-2.0").weights
    assert (weights.source, weights.license) == ("file", "Apache-2.0")
    assert weights.digest != encoder_of(folders["hubert of batch norm"]).weights.digest
    settings = {"weights": "random", "weights_sha256": None, "architecture": {**TINY, **BASE}}
    random = encoder_of(folder, **settings).weights
    assert (random.source, random.license) == ("random", "")
    assert random == encoder_of(folder, **settings).weights
    assert random != encoder_of(folder, **settings, seed=1).weights


def test_weights_may_lack_what_only_training_reads(
    folders: Mapping[str, Path], waveform: torch.Tensor, tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["wav2vec2 base"], tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors["masked_spec_embed"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    expected = compute(encoder_of(folders["wav2vec2 base"]), waveform)
    lacking = [encoder_of(folder, seed=seed) for seed in (0, 1)]
    assert np.array_equal(compute(lacking[0], waveform)["all"], expected["all"])
    assert lacking[0].weights == lacking[1].weights


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "wavlm2"}, "kind of encoder: expected wavlm or hubert or .*, got wavlm2"),
        ({"layers": {"a": 4}}, "tiny/encoder: a: expected a layer from 0 to 3"),
        (
            {"precision": "int8"},
            "precision: expected float32 or bfloat16 or float16 or tf32, got int8",
        ),
        (
            {"max_window_s": 2.0, "context_s": 1.0},
            "context_s: expected 0 seconds or more, and under half a window of 1.98",
        ),
        ({"weights": "download", "weights_sha256": None}, "revision of tiny/encoder: expected a"),
        (
            {"architecture": {"num_hidden_layers": 12}},
            "num_hidden_layers: expected 12, got 3",
        ),
        (
            {"normalize_waveform": True},
            "do_normalize: expected True, got False; set normalize_waveform to what it says",
        ),
        (
            {
                "weights": "random",
                "weights_sha256": None,
                "architecture": {**TINY, "add_adapter": True},
            },
            "architecture of tiny/encoder: add_adapter: expected false",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused(
    settings: dict[str, Any], message: str, folders: Mapping[str, Path]
) -> None:
    with pytest.raises((ConfigError, WeightsError), match=message):
        encoder_of(folders["wav2vec2 base"], **settings)


def test_encoder_of_another_sample_rate_is_refused(
    folders: Mapping[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["hubert base"], tmp_path / "model")
    Wav2Vec2FeatureExtractor(do_normalize=False, sampling_rate=8000).save_pretrained(folder)
    with pytest.raises(WeightsError, match="sampling_rate: expected 16000, got 8000"):
        encoder_of(folder)
