"""A model folder that somebody else has filled: what is loaded is what the digest vouches for."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WavLMModel

from featbank.errors import ConfigError, WeightsError
from featbank.features.weights.model_folder import weight_files
from featbank.features.weights.pretrained import load_pretrained
from featbank.files.provenance import file_sha256
from tests.features.test_pretrained import TINY

EVIL = "open('pwned', 'w')\n"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    _load("random", None).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(good, tmp_path / "model"))


def _load(weights: str, sha256: str | None) -> WavLMModel:
    return load_pretrained(
        WavLMModel,
        weights=weights,
        model="a/b",
        revision=None,
        weights_sha256=sha256,
        architecture=TINY if weights == "random" else {},
    ).model


def _configure(folder: Path, **fields: Any) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **fields}))


def _others(folder: Path, name: str) -> None:
    """Write a file of other tensors."""
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor + 1 for name, tensor in tensors.items()}, folder / name, {"format": "pt"}
    )


BESIDE: dict[str, Callable[[Path], object]] = {
    "a variant": lambda folder: _others(folder, "model.fp16.safetensors"),
    "a pickle": lambda folder: (folder / "pytorch_model.bin").write_bytes(
        b"\x80\x02cos\nsystem\n."
    ),
    "an index": lambda folder: (folder / "model.safetensors.index.json").write_text("nonsense"),
    "code": lambda folder: [
        _configure(folder, auto_map={"AutoModel": "evil.M", "AutoConfig": "evil.C"}),
        (folder / "evil.py").write_text(EVIL),
        (folder / "__init__.py").write_text(EVIL),
    ],
    "a link to the file": lambda folder: [
        (folder / "model.safetensors").rename(folder / "blob"),
        (folder / "model.safetensors").symlink_to("blob"),
    ],
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_lies_beside_the_weights_changes_nothing(name: str, folder: Path, good: Path) -> None:
    BESIDE[name](folder)
    sha256 = file_sha256(good / "model.safetensors")
    expected = _load(str(good), sha256).state_dict()
    found = _load(str(folder), sha256).state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert not Path("pwned").exists()


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "other weights": (
        lambda folder: [
            _others(folder, "evil.safetensors"),
            _configure(folder, transformers_weights="evil.safetensors"),
        ],
        "expected no transformers_weights, for weights_sha256 does not vouch for what it names",
    ),
    "other weights of a part": (
        lambda folder: _configure(folder, sub={"transformers_weights": "evil.safetensors"}),
        "sub: expected no transformers_weights",
    ),
    "an adapter": (
        lambda folder: (folder / "adapter_config.json").write_text("{}"),
        "got an adapter_config.json, which names other weights",
    ),
    "kernels of a hub": (
        lambda folder: _configure(folder, _attn_implementation="evil/attention"),
        "expected no _attn_implementation",
    ),
    "quantised": (
        lambda folder: _configure(folder, quantization_config={"quant_method": "x"}),
        "expected no quantization_config",
    ),
    "fewer layers": (
        lambda folder: _configure(folder, num_hidden_layers=1),
        r"expected 1 of encoder.layers, as config.json states, got encoder.layers.1",
    ),
    "endless layers": (
        lambda folder: _configure(folder, num_hidden_layers=10**9),
        "num_hidden_layers: expected at most 1000",
    ),
    "no heads": (lambda folder: _configure(folder, num_attention_heads=0), "transformers can load"),
    "an activation": (lambda folder: _configure(folder, hidden_act="os.system"), "can load"),
    "a dtype": (lambda folder: _configure(folder, dtype="os.system"), "can load"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "got list"),
    "nested": (
        lambda folder: (folder / "config.json").write_text("[" * 100_000),
        "expected a JSON object, got nesting without end",
    ),
    "10^400": (
        lambda folder: _configure(folder, hidden_size=10**400), "a number of 401 digits"
    ),
    "a pipe": (
        lambda folder: [(folder / "config.json").unlink(), os.mkfifo(folder / "config.json")],
        "got a folder without them",
    ),
    "an index out of it": (
        lambda folder: [
            (folder / "model.safetensors").rename(folder.parent / "out.safetensors"),
            (folder / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "../out.safetensors"}})
            ),
        ],
        r"expected \*\.safetensors files beside it, got '\.\./out\.safetensors'",
    ),
    "an index of nothing": (
        lambda folder: [
            (folder / "model.safetensors").unlink(),
            (folder / "model.safetensors.index.json").write_text("{}"),
        ],
        "files beside it, got None",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_names_more_than_its_digest_vouches_for_is_refused(
    name: str, folder: Path
) -> None:
    sha256 = file_sha256(folder / "model.safetensors")
    change, said = BAD[name]
    change(folder)
    with pytest.raises(WeightsError, match=said) as caught:
        _load(str(folder), sha256)
    assert "\n" not in str(caught.value)


def test_weights_in_several_files_are_those_that_the_index_lists(folder: Path) -> None:
    whole = folder / "model.safetensors"
    expected = load_file(whole)
    half = sorted(expected)[: len(expected) // 2]
    parts = {"model-00001-of-00002.safetensors": half}
    parts["model-00002-of-00002.safetensors"] = sorted(set(expected) - set(half))
    for name, keys in parts.items():
        save_file({key: expected[key] for key in keys}, folder / name, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: name for name in parts for key in parts[name]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    whole.unlink()
    save_file({"a": torch.zeros(1)}, folder / "model-evil.safetensors")
    assert [path.name for path in weight_files(folder)] == sorted(parts)
    with pytest.raises(ConfigError, match=r"set weights_sha256: [0-9a-f]{64}") as told:
        _load(str(folder), None)
    loaded = _load(str(folder), told.value.hint.split()[-1])
    assert all(torch.equal(loaded.state_dict()[key], expected[key]) for key in expected)


def test_an_empty_digest_vouches_for_nothing(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected sha256 , got [0-9a-f]{64}"):
        _load(str(folder), "")
