"""The pipeline on a real pretrained model: the encoder of Whisper tiny.en.

FEATBANK_WHISPER_TINY_EN names a folder with its `config.json` and `model.safetensors`, such as a
clone of openai/whisper-tiny.en; the decoder may be cut off.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from featbank.files.provenance import file_sha256
from featbank.store import open_store
from tests.pipeline.conftest import Project

FOLDER = os.environ.get("FEATBANK_WHISPER_TINY_EN")
SPEECH = "librivox_austen/sense-01-0870"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        FOLDER is None, reason="FEATBANK_WHISPER_TINY_EN names no folder with Whisper tiny.en"
    ),
]


def test_units_of_a_real_whisper_go_through_every_stage(own_prepared: Project) -> None:
    project = own_prepared
    assert FOLDER is not None
    definition = yaml.safe_load((project.path / "conf/feature/whisper_tiny_en.yaml").read_text())
    definition["name"] = "whisper"
    definition["extractor"] |= {
        "layers": {"whisper": 3},
        "weights": FOLDER,
        "weights_sha256": file_sha256(Path(FOLDER, "model.safetensors")),
    }
    definition["storage"][0]["name"] = "whisper"
    (project.path / "conf/feature/whisper.yaml").write_text(yaml.safe_dump(definition))
    project.choose(
        ["whisper"],
        tokens={"whisper-kmeans100": {"feature": "whisper", "tokenizer": "kmeans100"}},
    )
    project.run("dvc repro")

    data = project.path / "data"
    features = open_store(data / "features/demo/whisper")
    units = open_store(data / "tokens/demo/whisper-kmeans100")
    assert (len(features), features.shape, len(units)) == (38, (384,), 38)
    for name in features.ids:
        assert len(units[name]) == len(features[name])
    expected = _by_transformers(project.path / f"corpora/demo/{SPEECH}.flac")
    np.testing.assert_allclose(features[SPEECH], expected, atol=0.01, rtol=1e-3)  # float16
    metrics = json.loads((project.path / "reports/demo/metrics.json").read_text())
    assert metrics["problems"] == 0
    found = metrics["tokens"]["whisper-kmeans100"]["units"]
    assert found["train"]["codes_used"] == 1
    # real speech features: what nobody hears flips a few units, and not half of them
    assert all(0 < one["flip_rate"] < 0.5 for one in found["stability"].values())


def _by_transformers(audio: Path) -> np.ndarray:
    """Compute layer 3 as users of the library do."""
    from transformers import WhisperFeatureExtractor, WhisperModel

    samples, sample_rate = soundfile.read(audio, dtype="float32")
    mel = WhisperFeatureExtractor()(samples, sampling_rate=sample_rate, return_tensors="pt")
    encoder = WhisperModel.from_pretrained(FOLDER, dtype=torch.float32).encoder.eval()
    with torch.inference_mode():
        states = encoder(mel.input_features, output_hidden_states=True).hidden_states
    return states[3][0, : (len(samples) + 160) // 320].numpy()
