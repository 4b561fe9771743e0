from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    HubertModel,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
    WavLMModel,
)

from featbank.errors import ConfigError, WeightsError
from featbank.features.weights.hub import preprocessor_of
from featbank.features.weights.licenses import license_of
from featbank.features.weights.pretrained import load_pretrained
from featbank.features.weights.sources import Loaded
from featbank.files.provenance import file_sha256

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8, 8],
    "conv_kernel": [10, 3],
    "conv_stride": [5, 2],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}


def loaded(**options: Any) -> Loaded[WavLMModel]:
    given = {"model": "a/b", "revision": None, "weights_sha256": None, "architecture": TINY}
    return load_pretrained(WavLMModel, **{**given, **options})


def load(**options: Any) -> WavLMModel:
    return loaded(**options).model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wavlm")
    load(weights="random", seed=3).half().save_pretrained(folder)
    return folder


def test_a_saved_model_is_the_random_one_it_came_from(saved: Path) -> None:
    sha256 = file_sha256(saved / "model.safetensors")
    state = torch.random.get_rng_state()
    loaded = load(weights=str(saved), weights_sha256=sha256)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not loaded.training
    random = load(weights="random", seed=3)
    for name, tensor in random.state_dict().items():
        found = loaded.state_dict()[name]
        assert found.dtype == torch.float32
        assert torch.equal(found, tensor.half().float()), name


def test_published_weights_have_their_license_and_those_of_a_folder_what_is_stated() -> None:
    name = "kyutai/mimi"
    assert license_of("download", name, None) == "CC BY 4.0"
    assert license_of("file", name, None) == ""
    assert license_of("file", name, "mine") == "mine"
    assert license_of("random", name, None) == ""
    with pytest.raises(ConfigError, match=r"license of kyutai/mimi: expected CC BY 4.0"):
        loaded(weights="download", model=name, license="MIT")


def test_an_architecture_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected fields of WavLMConfig, got typo"):
        load(weights="random", architecture={"typo": 3})
    with pytest.raises(ConfigError, match=r"architecture of .*: expected what WavLMConfig takes"):
        load(weights="random", architecture={"hidden_size": "wide"})


def test_files_beside_the_model_are_not_taken_for_it(saved: Path, tmp_path: Path) -> None:
    for path in saved.iterdir():
        shutil.copy(path, tmp_path)
    sha256 = file_sha256(saved / "model.safetensors")
    (tmp_path / "adapter.safetensors").write_bytes(b"beside it")
    load(weights=str(tmp_path), weights_sha256=sha256)
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"a folder with config.json and model.safetensors"):
        load(weights=str(tmp_path), weights_sha256=sha256)
    (tmp_path / "config.json").write_text("[]")
    (tmp_path / "other.safetensors").rename(tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="a model that transformers can load"):
        load(weights=str(tmp_path), weights_sha256=sha256)


def test_what_is_not_the_named_model_is_refused(saved: Path, tmp_path: Path) -> None:
    sha256 = file_sha256(saved / "model.safetensors")
    with pytest.raises(ConfigError, match=f"set weights_sha256: {sha256}"):
        load(weights=str(saved))
    with pytest.raises(WeightsError, match="expected sha256 0"):
        load(weights=str(saved), weights_sha256="0" * 64)
    with pytest.raises(WeightsError, match="num_hidden_layers: expected 3, got 2"):
        load(weights=str(saved), weights_sha256=sha256, architecture={"num_hidden_layers": 3})
    with pytest.raises(WeightsError, match="expected a model of type hubert, got wavlm"):
        load_pretrained(
            HubertModel,
            weights=str(saved),
            model="a/b",
            revision=None,
            weights_sha256=sha256,
            architecture={},
        )
    with pytest.raises(WeightsError, match="no such folder"):
        load(weights=str(tmp_path / "none"), weights_sha256=sha256)


def test_a_tensor_that_is_missing_is_not_left_random(saved: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(saved / "model.safetensors")
    tensors.pop(next(name for name in tensors if "k_proj.weight" in name))
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((saved / "config.json").read_bytes())
    with pytest.raises(WeightsError, match=r"k_proj.weight \(1 in all\)"):
        load(weights=str(tmp_path), weights_sha256=file_sha256(tmp_path / "model.safetensors"))


def test_a_download_is_pinned_by_a_commit() -> None:
    for revision in (None, "main"):
        with pytest.raises(ConfigError, match="revision of a/b: expected a commit"):
            load(weights="download", revision=revision)


def test_what_the_preprocessor_says_is_read_where_there_is_one(tmp_path: Path) -> None:
    assert preprocessor_of("random", "a/b", None) is None
    assert preprocessor_of(str(tmp_path), "a/b", None) is None
    file = tmp_path / "preprocessor_config.json"
    file.write_text('{"do_normalize": true}')
    assert preprocessor_of(str(tmp_path), "a/b", None) == {"do_normalize": True}
    for text, message in (
        ("{", "expected a JSON object"),
        ("[1]", "expected a JSON object, got list"),
    ):
        file.write_text(text)
        with pytest.raises(WeightsError, match=message):
            preprocessor_of(str(tmp_path), "a/b", None)


def test_a_preprocessor_is_found_where_processors_are_saved_whole(tmp_path: Path) -> None:
    """The feature extractor and the tokenizer of a recogniser, as the library writes them now."""
    vocabulary = tmp_path / "vocab.json"
    vocabulary.write_text(json.dumps({"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4}))
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": true}')  # of before
    Wav2Vec2Processor(
        Wav2Vec2FeatureExtractor(do_normalize=False), Wav2Vec2CTCTokenizer(str(vocabulary))
    ).save_pretrained(tmp_path)
    said = preprocessor_of(str(tmp_path), "a/b", None)
    assert said is not None
    theirs = Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)
    assert said["do_normalize"] is theirs.do_normalize is False
