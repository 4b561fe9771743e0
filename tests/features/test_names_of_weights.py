"""Weights are named by what was published, whatever a library calls their tensors."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    DacConfig,
    MimiConfig,
    MimiModel,
    PreTrainedConfig,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperForConditionalGeneration,
    XcodecConfig,
)

from featbank.errors import WeightsError
from featbank.features.encoders.whisper import _UNREAD, WhisperEncoder
from featbank.features.weights.checkpoint import tensors_digest
from featbank.features.weights.configuration import NEUTRAL, deciding_fields
from featbank.features.weights.pretrained import load_pretrained
from featbank.features.weights.sources import Loaded
from featbank.files.provenance import digest, file_sha256
from tests.features.checks import compute
from tests.features.test_pretrained import TINY
from tests.features.tiny_codecs import DAC, MIMI, XCODEC

REVISION = "0123456789" * 4
REAL = Path(os.environ.get("FEATBANK_WHISPER_TINY_EN", "")).absolute()

# had of transformers 5.0.0, 5.21.0 and 5.24.0 alike
WAVLM_NAME = "a4ef825827cce6b44a72a9ff527355179ac68bc2cefabde53abd8495d8fcdfc3"
MIMI_NAME = "4046ba54518be4e33fe59f0aaf2b8b141c8c06d45737b15f54f51c03622a521e"
REAL_NAME = "6539cea997afca97fa6300a94d47661dcf9dc868b71047c95eda14238abedb1e"


def load(folder: Path, kind: Any = WavLMModel, **options: Any) -> Loaded[Any]:
    [file] = [path for path in folder.iterdir() if path.stem in ("model", "pytorch_model")]
    return load_pretrained(
        kind,
        weights=str(folder),
        model="a/b",
        revision=None,
        weights_sha256=file_sha256(file),
        architecture={},
        **options,
    )


def name(folder: Path, kind: Any = WavLMModel, **options: Any) -> str:
    return load(folder, kind, **options).weights().digest


def numbered(model: torch.nn.Module) -> None:
    """Fill a model with numbers that no version of a library draws."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape) % 97 / 97)


@pytest.fixture(scope="module")
def wavlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wavlm")
    model = WavLMModel(WavLMConfig(**TINY))
    numbered(model)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def mimi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mimi")
    model = MimiModel(MimiConfig(**MIMI))
    numbered(model)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(wavlm: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(wavlm, tmp_path / "model"))


def configure(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = folder / "config.json"
    fields = json.loads(config.read_text())
    change(fields)
    config.write_text(json.dumps(fields))


def test_the_names_that_a_library_gives_the_tensors_of_its_model_say_nothing(mimi: Path) -> None:
    """Those of Mimi's published files are the ones of transformers 5.0; newer ones load others."""
    stored = load_file(mimi / "model.safetensors")
    loaded = load(mimi, MimiModel)
    others = stored.keys() - loaded.model.state_dict().keys()
    assert len(others) > len(stored) / 2
    fields = deciding_fields(MimiConfig(**MIMI))
    named_by = {"configuration": fields, "tensors": tensors_digest(stored)}
    assert loaded.weights().digest == digest(named_by)


def test_one_checkpoint_has_one_name_in_every_version_of_the_library(
    wavlm: Path, mimi: Path
) -> None:
    assert name(wavlm) == WAVLM_NAME
    assert name(mimi, MimiModel) == MIMI_NAME


def _pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


SAME: dict[str, Callable[[Path], object]] = {
    "pickled": _pickled,
    "with another metadata": lambda folder: save_file(
        load_file(folder / "model.safetensors"), folder / "model.safetensors",
        {"format": "pt", "by": "somebody"},
    ),
    "saved again": lambda folder: load(folder).model.save_pretrained(folder),
    "with the fewest fields": lambda folder: (folder / "config.json").write_text(
        json.dumps({"model_type": "wavlm", **TINY})
    ),
    "with a field that nobody knows": lambda folder: configure(
        folder, lambda fields: fields.update(is_causal=True, note="mine")
    ),
    **{
        f"of another {field}": lambda folder, field=field: configure(
            folder, lambda fields: fields.update({field: "float16" if "dtype" in field else "x"})
        )
        for field in NEUTRAL
        if field != "architectures"
    },
    "for another class": lambda folder: configure(
        folder, lambda fields: fields.update(architectures=["WavLMForCTC"])
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", SAME)
def test_a_checkpoint_written_otherwise_is_the_same(how: str, wavlm: Path, folder: Path) -> None:
    SAME[how](folder)
    before, after = load(wavlm), load(folder)
    assert after.weights().digest == before.weights().digest
    waveform = torch.linspace(-1, 1, 400).unsqueeze(0)
    with torch.inference_mode():
        expected, found = (one.model(waveform).last_hidden_state for one in (before, after))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("sharded", [False, True])
def test_a_download_has_the_name_that_its_files_have_in_a_folder(
    sharded: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = name(folder)
    if sharded:
        model = load(folder).model
        (folder / "model.safetensors").unlink()
        model.save_pretrained(folder, max_shard_size="10KB")
        assert len([*folder.glob("model-*.safetensors")]) > 1
        # which the library asks for first, and remembers that there is none
        absent = tmp_path / "models--a--b" / ".no_exist" / REVISION / "model.safetensors"
        absent.parent.mkdir(parents=True)
        absent.touch()
    shutil.copytree(folder, tmp_path / "models--a--b" / "snapshots" / REVISION)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    loaded = load_pretrained(
        WavLMModel,
        weights="download",
        model="a/b",
        revision=REVISION,
        weights_sha256=None,
        architecture={},
    )
    found = loaded.weights()
    assert (found.source, found.digest) == ("download", expected)


def _swap(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    one, two = (f"encoder.layers.0.attention.{part}_proj.weight" for part in "qk")
    tensors[one], tensors[two] = tensors[two] + 1, tensors[one]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def _one_bit(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.layer_norm.bias"].view(torch.int32)[0] ^= 1
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def _half(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    halved = {key: tensor.half() for key, tensor in tensors.items()}
    save_file(halved, folder / "model.safetensors", {"format": "pt"})


OTHER: dict[str, Callable[[Path], object]] = {
    "tensors under each other's names": _swap,
    "another bit": _one_bit,
    "tensors of fewer bits": _half,
    **{
        f"another {field}": lambda folder, field=field, value=value: configure(
            folder, lambda fields: fields.update({field: value})
        )
        for field, value in {
            "layer_norm_eps": 1e-3, "hidden_act": "relu", "feat_extract_activation": "relu",
            "num_attention_heads": 1, "max_bucket_distance": 40, "conv_stride": [2, 5],
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("what", OTHER)
def test_what_changes_values_is_another_name(what: str, wavlm: Path, folder: Path) -> None:
    OTHER[what](folder)
    try:
        changed = name(folder)
    except WeightsError:
        assert what == "another num_attention_heads"  # of which a bias by heads depends
    else:
        assert changed != name(wavlm)


@pytest.mark.parametrize(
    "config",
    [
        WavLMConfig(**TINY),
        WhisperConfig(d_model=64, encoder_attention_heads=2, max_source_positions=100),
        DacConfig(**DAC),
        MimiConfig(**MIMI),
        XcodecConfig(**XCODEC),
    ],
    ids=lambda config: config.model_type,
)
def test_the_fields_that_decide_are_few_and_the_same_however_many_are_stated(
    config: PreTrainedConfig,
) -> None:
    fields = deciding_fields(config)
    assert len(fields) < len(config.to_dict()) / 2
    spelled_out = type(config).from_dict(json.loads(json.dumps(config.to_dict())))
    assert deciding_fields(spelled_out) == fields
    if not isinstance(config, XcodecConfig):  # which has defaults of its own for its parts
        assert deciding_fields(type(config)(**fields)) == fields


WHISPER = {
    "d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 20,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
    "max_source_positions": 100,
}  # fmt: skip


def test_what_the_encoder_of_whisper_does_not_read_changes_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    WhisperForConditionalGeneration(WhisperConfig(**WHISPER)).save_pretrained(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    known = WhisperConfig().to_dict()
    assert set(_UNREAD) < set(known)

    def change(fields: dict[str, Any]) -> None:
        for field in _UNREAD:
            value = fields.get(field, known[field])
            if isinstance(value, bool):
                fields[field] = not value
            else:
                fields[field] = [1] if value is None or isinstance(value, list) else value + 1

    configure(tmp_path / "b", change)
    encoders = [
        WhisperEncoder(
            model="a/b",
            architecture={},
            layers={"x": "final"},
            weights=str(folder),
            weights_sha256=file_sha256(folder / "model.safetensors"),
            context_s=0.0,
        )
        for folder in (tmp_path / "a", tmp_path / "b")
    ]
    assert encoders[0].weights == encoders[1].weights
    one, two = (compute(encoder, torch.linspace(-1, 1, 16000))["x"] for encoder in encoders)
    assert np.array_equal(one, two)


@pytest.mark.skipif(
    not (REAL / "model.safetensors").is_file(), reason="FEATBANK_WHISPER_TINY_EN names no model"
)
def test_whisper_tiny_en_has_the_name_that_its_files_give() -> None:
    encoder = WhisperEncoder(
        model="openai/whisper-tiny.en",
        architecture={},
        layers={"x": "final"},
        weights=str(REAL),
        weights_sha256=file_sha256(REAL / "model.safetensors"),
    )
    assert encoder.weights.digest == REAL_NAME


def test_no_part_of_a_model_is_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """X-Codec of transformers 5.0 takes a part with a path, an empty one too, for one there."""
    init = XcodecConfig.__init__

    def as_in_5_0(self: XcodecConfig, **fields: Any) -> None:
        parts = [part for part in fields.values() if isinstance(part, dict)]
        if any("_name_or_path" in part for part in parts):
            raise OSError("Repo id must use alphanumeric chars")
        init(self, **fields)

    fields = deciding_fields(config := XcodecConfig(**XCODEC))
    monkeypatch.setattr(XcodecConfig, "__init__", as_in_5_0)
    assert deciding_fields(config) == fields
